// Transient notifications at the bottom of the page, announced by screen readers.

const STAY = { quiet: 1600, good: 2500, info: 6000, error: 10000 }; // ms

export function notify(words, kind = "info") {
  const notifications = document.getElementById("notifications");
  // An open dialog makes everything outside it inert, also for screen readers.
  const place = document.querySelector("dialog[open]") ?? document.body;
  if (notifications.parentElement !== place) place.append(notifications);
  const line = document.createElement("p");
  line.textContent = words;
  line.className = kind;
  if (kind === "quiet") notifications.querySelectorAll(".quiet").forEach((old) => old.remove());
  notifications.append(line);
  setTimeout(() => line.remove(), STAY[kind]);
}

// The result of an action, or null where it fails; the error is shown.
export async function attempt(what) {
  try {
    return await what();
  } catch (error) {
    if (error.name !== "AbortError") notify(error.message, "error");
    return null;
  }
}
