// A film's mask as a file to keep, in a format that is chosen.

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

// select: a choice of formats, which calls `choose` with each that is taken
export function offerDownloads(select, choose) {
  for (const [form, name] of Object.entries(FORMS)) select.append(new Option(name, form));
  select.addEventListener("change", () => {
    if (select.value) choose(select.value);
    select.value = "";
  });
}

// Have the browser keep a file.
export function keepFile({ content, name }) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
