// Drag and drop of files onto the page.

const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

// curtain: what is shown while files are held over the page
export function listenToDrops(curtain, add) {
  let depth = 0; // enter and leave fire for each element crossed
  addEventListener("dragenter", (event) => {
    if (!hasFiles(event)) return;
    depth++;
    curtain.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (!hasFiles(event)) return;
    depth = Math.max(0, depth - 1);
    curtain.hidden = depth === 0;
  });
  addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    curtain.hidden = true;
    if (event.dataTransfer.files.length) add(event.dataTransfer.files);
  });
}
