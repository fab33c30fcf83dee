// Transient notifications at the bottom of the page, announced by screen readers.

const STAY = { quiet: 1600, good: 2500, info: 6000, error: 10000 }; // ms

export function say(words, kind = "info") {
  const says = document.getElementById("says");
  // An open dialog makes everything outside it inert, also for screen readers.
  const place = document.querySelector("dialog[open]") ?? document.body;
  if (says.parentElement !== place) place.append(says);
  const line = document.createElement("p");
  line.textContent = words;
  line.className = kind;
  if (kind === "quiet") says.querySelectorAll(".quiet").forEach((old) => old.remove());
  says.append(line);
  setTimeout(() => line.remove(), STAY[kind]);
}

// The result of an action, or null where it fails; the error is shown.
export async function trying(what) {
  try {
    return await what();
  } catch (error) {
    if (error.name !== "AbortError") say(error.message, "error");
    return null;
  }
}
