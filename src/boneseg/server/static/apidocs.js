// Renders openapi.json as a page, without external resources.

import { openapi } from "./api.js";

const make = (name, words, kind) => {
  const element = document.createElement(name);
  if (words) element.textContent = words;
  if (kind) element.className = kind;
  return element;
};

// A description, with `names` as code.
function described(words) {
  const paragraph = make("p", "", "what");
  paragraph.append(...words.split("`").map((part, at) => (at % 2 ? make("code", part) : part)));
  return paragraph;
}

function typeOf(schema, all) {
  if (!schema) return "";
  if (schema.$ref) return typeOf(all[schema.$ref.split("/").at(-1)], all);
  if (schema.anyOf) return schema.anyOf.map((one) => typeOf(one, all)).join(" or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (schema.properties) {
    const parts = Object.entries(schema.properties).map(([name, one]) => `${name}: ${typeOf(one, all)}`);
    return `{ ${parts.join(", ")} }`;
  }
  if (schema.type === "array") return `[${typeOf(schema.items, all)}]`;
  return schema.format === "binary" ? "file" : (schema.type ?? "anything");
}

const { paths, components } = await openapi();
const schemas = components?.schemas ?? {};
const groups = new Map();
for (const [path, methods] of Object.entries(paths))
  for (const [method, route] of Object.entries(methods)) {
    const tag = route.tags?.[0] ?? "other";
    groups.set(tag, [...(groups.get(tag) ?? []), { path, method, route }]);
  }
for (const pre of document.querySelectorAll("pre")) pre.textContent = pre.textContent.replace("ORIGIN", location.origin);
for (const [tag, routes] of groups) {
  document.getElementById("routes").append(make("h2", tag));
  for (const { path, method, route } of routes) {
    const article = make("article");
    const head = make("p");
    head.append(make("b", method.toUpperCase()), make("code", path));
    article.append(head, described(route.description ?? route.summary));
    const takes = (route.parameters ?? []).map((one) => `${one.in} ${one.name}: ${typeOf(one.schema, schemas)}${one.required ? "" : " (optional)"}`);
    for (const [kind, { schema }] of Object.entries(route.requestBody?.content ?? {})) takes.push(`body ${kind}: ${typeOf(schema, schemas)}`);
    const answers = Object.entries(route.responses ?? {})
      .filter(([status]) => status !== "422" || route.responses[status].description !== "Validation Error")
      .map(([status, answer]) => `${status} ${Object.keys(answer.content ?? {}).join(", ")} ${answer.description === "Successful Response" ? "" : (answer.description ?? "")}`);
    article.append(make("pre", [...takes, ...answers.map((line) => `→ ${line}`)].join("\n")));
    document.getElementById("routes").append(article);
  }
}
