// Download of a film's mask in a chosen format.

// select: the format menu; formats: as the server lists them; `choose` is called with the selected format
export function offerDownloads(select, formats, choose) {
  for (const { name, label } of formats) select.append(new Option(label, name));
  select.addEventListener("change", () => {
    if (select.value) choose(select.value);
    select.value = "";
  });
}

// Save a file through the browser.
export function keepFile({ content, name }) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
