// What the page says for a moment, at its foot; a screen reader reads it out.

const STAY = { quiet: 1600, good: 2500, info: 6000, error: 10000 }; // ms

export function say(words, kind = "info") {
  const says = document.getElementById("says");
  // An open dialog dims all beside it, for eyes and for screen readers.
  const place = document.querySelector("dialog[open]") ?? document.body;
  if (says.parentElement !== place) place.append(says);
  const line = document.createElement("p");
  line.textContent = words;
  line.className = kind;
  if (kind === "quiet") says.querySelectorAll(".quiet").forEach((old) => old.remove());
  says.append(line);
  setTimeout(() => line.remove(), STAY[kind]);
}

// What an action gives, or null where it fails, which is told.
export async function trying(what) {
  try {
    return await what();
  } catch (error) {
    if (error.name !== "AbortError") say(error.message, "error");
    return null;
  }
}
