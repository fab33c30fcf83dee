// The client of the server's API. Every error is one line, shown as received.

export class ApiError extends Error {
  constructor(message, status, retryAfter) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

const BITS = "application/octet-stream";

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("the light box does not respond; it may have been closed", 0);
  }
  if (response.ok) return response;
  let line = `the server responded with status ${response.status}`;
  try {
    line = (await response.json()).error ?? line;
  } catch {
    // not an error of this API
  }
  throw new ApiError(line, response.status, Number(response.headers.get("Retry-After")) || null);
}

const json = async (path, options) => (await ask(path, options)).json();
const send = (path, method, body, signal) =>
  json(path, {
    method,
    signal,
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
const answered = async (path, signal) => {
  const response = await ask(path, { signal, headers: { Accept: BITS } });
  return { bits: new Uint8Array(await response.arrayBuffer()), headers: response.headers };
};
const bytes = async (path, signal) => (await answered(path, signal)).bits;

export const health = () => json("/api/health");
export const formats = () => json("/api/formats");
export const films = () => json("/api/films");
export const film = (id, signal) => json(`/api/films/${id}`, { signal });
export const pixels = async (id, signal) =>
  new Uint16Array((await bytes(`/api/films/${id}/pixels`, signal)).buffer);
export const probability = (id, signal) => bytes(`/api/films/${id}/probability`, signal);
export const bones = (id, signal) => json(`/api/films/${id}/bones`, { signal });
export const suggestion = (id, signal) => bytes(`/api/films/${id}/suggestion`, signal);
export const savedMask = (id, signal) => bytes(`/api/films/${id}/mask`, signal);
// basedOn: the revision of the mask that the draft was drawn on; null for one of an earlier boneseg.
export async function draft(id, signal) {
  const { bits, headers } = await answered(`/api/films/${id}/draft`, signal);
  return { bits, basedOn: headers.get("Boneseg-Based-On"), filmChanged: headers.get("Boneseg-Film") === "changed" };
}
export const history = (id) => json(`/api/films/${id}/history`);
export const earlier = (id, revision) => bytes(`/api/films/${id}/history/${revision}`);

export const keepDraft = (id, bits, revision) =>
  ask(`/api/films/${id}/draft`, {
    method: "PUT",
    headers: { "Content-Type": BITS, "If-Match": `"${revision}"` },
    body: bits,
  });
export const dropDraft = (id) => ask(`/api/films/${id}/draft`, { method: "DELETE" });
export const saveMask = (id, bits, state, revision, by = "") =>
  json(`/api/films/${id}/mask?${new URLSearchParams({ state, by })}`, {
    method: "PUT",
    headers: { "Content-Type": BITS, "If-Match": `"${revision}"` },
    body: bits,
  });
export const removeFilm = (id) => ask(`/api/films/${id}`, { method: "DELETE" });

export const download = async (id, form) => file(await ask(`/api/films/${id}/download?form=${form}`));

// All accepted masks as a ZIP archive; `failed` films are named in it instead.
export async function exported(form) {
  const response = await ask(`/api/export?form=${form}`);
  return { ...(await file(response)), failed: Number(response.headers.get("Boneseg-Failed")) };
}

async function file(response) {
  const [, name] = /filename\*=UTF-8''([^;]+)/.exec(response.headers.get("Content-Disposition"));
  return { content: await response.blob(), name: decodeURIComponent(name) };
}

// Upload one film of at most `most` bytes; retries while the queue is full. The size is checked here because
// a browser gets no response from a server that stops reading a large body.
export async function addFilm(file, most = Infinity) {
  const [size, allowed] = [file.size, most].map((bytes) => Math.round(bytes / 2 ** 20));
  if (file.size > most) throw new ApiError(`${file.name}: ${size} MiB exceed the limit of ${allowed} MiB per film`, 413);
  for (let attempt = 0; ; attempt++) {
    const form = new FormData();
    form.append("file", file, file.name);
    try {
      return await json("/api/films", { method: "POST", body: form });
    } catch (error) {
      if (error.status !== 503 || attempt >= 20) throw error;
      await new Promise((done) => setTimeout(done, 1000 * (error.retryAfter ?? 1)));
    }
  }
}

export const training = () => json("/api/train");
export const startTraining = (minutes, settings) =>
  send("/api/train", "POST", { minutes, settings });
export const stopTraining = () => send("/api/train/stop", "POST");
export const models = () => json("/api/models");
export const useModel = (id, purpose = "page") => send(`/api/models/${id}/use?for=${purpose}`, "POST");

export const measures = (id) => json(`/api/films/${id}/measures`);
export const saveMeasures = (id, measures, revision) =>
  json(`/api/films/${id}/measures`, {
    method: "PUT",
    headers: { "Content-Type": "application/json", "If-Match": `"${revision}"` },
    body: JSON.stringify({ measures }),
  });
export const alignment = (id) => json(`/api/films/${id}/alignment`);
export const medialSide = async (id, [[hip_x, hip_y], [knee_x, knee_y]]) =>
  (await json(`/api/films/${id}/medial?${new URLSearchParams({ hip_x, hip_y, knee_x, knee_y })}`)).medial;
export const calibrate = (id, width, how) => send(`/api/films/${id}/calibration`, "PUT", { mm_per_pixel: width, how });
export const removeCalibration = (id) => send(`/api/films/${id}/calibration`, "DELETE");
export const downloadMeasures = async (id, form) =>
  file(await ask(`/api/films/${id}/measures/download?form=${form}`));
export const downloadAllMeasures = async () => file(await ask("/api/measures"));

export const openapi = () => json("/openapi.json");
