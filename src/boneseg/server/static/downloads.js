// Download of a film's mask in a chosen format.

const FORMS = {
  mask: "mask, PNG",
  overlay: "overlay, PNG",
  probability: "probability, PNG",
  "dicom-seg": "DICOM Segmentation",
  nrrd: "3D Slicer, .seg.nrrd",
  nifti: "NIfTI",
  coco: "COCO, run lengths",
  "coco-polygons": "COCO, polygons",
  labelme: "LabelMe",
  cvat: "CVAT",
  "label-studio": "Label Studio",
  yolo: "YOLO",
  measurements: "measurements, CSV",
};

// select: the format menu; `choose` is called with the selected format
export function offerDownloads(select, choose) {
  for (const [form, name] of Object.entries(FORMS)) select.append(new Option(name, form));
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
