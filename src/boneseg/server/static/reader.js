// The reader's name, typed once on this browser, under which masks are accepted.

const KEY = "reader";

export const readerName = () => localStorage.getItem(KEY) ?? "";

// Ask for the name unless it was given, or declined, before. ask: opens the dialog and returns the button chosen.
// Null where the reader cancels.
export async function signedName(dialog, ask) {
  if (localStorage.getItem(KEY) !== null) return readerName();
  return changeName(dialog, ask);
}

export async function changeName(dialog, ask) {
  const field = dialog.querySelector("input");
  field.value = readerName();
  const choice = await ask(dialog);
  if (!choice) return null;
  localStorage.setItem(KEY, choice === "name" ? field.value.trim() : "");
  return readerName();
}
