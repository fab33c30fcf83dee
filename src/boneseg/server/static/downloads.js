// Downloads: a film's mask, or all accepted ones, in a chosen format.

// Call `choose` with the format selected in a menu, which then returns to its first line.
export function listenToFormats(select, choose) {
  select.addEventListener("change", () => {
    if (select.value) choose(select.value);
    select.value = "";
  });
}

// Offer formats, as the server lists them, below a menu's first line; only DICOM films have some of them.
export function offerFormats(select, formats, dicom = true) {
  const offered = formats.filter((format) => dicom || !format.dicom);
  select.replaceChildren(select.options[0], ...offered.map(({ name, label }) => new Option(label, name)));
}

// Save a file through the browser.
export function keepFile({ content, name }) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
