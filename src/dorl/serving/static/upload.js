// Files that are dropped or chosen, and folders of the server.

import { Refusal, takeFolder, upload } from "./api.js";
import { by, counted, make, percent, tell } from "./dom.js";

/** Let files come in; `added` is called with the new sample. */
export function takeFiles(model, added) {
  const send = (files) => files.length && attempt(() => sendFiles(files), added);
  by("files").disabled = false; // what is chosen before anyone listens would be lost
  by("files").addEventListener("change", (event) => {
    send([...event.target.files]);
    event.target.value = "";
  });
  let depth = 0; // dragenter and dragleave come for each element on the way
  const dragging = (change) => {
    depth = Math.max(0, depth + change);
    document.body.classList.toggle("dragging", depth > 0);
  };
  document.addEventListener("dragenter", () => dragging(1));
  document.addEventListener("dragleave", () => dragging(-1));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    dragging(-depth);
    send([...event.dataTransfer.files]);
  });
  by("folder-form").hidden = model.folders.length === 0;
  by("folders").replaceChildren(...model.folders.map((name) => make("option", { value: name, textContent: name })));
  by("folder-form").addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(() => takeFolder(by("folders").value, kind()), added);
  });
}

/** What the images show, as the API calls it. */
const kind = () => document.querySelector("input[name=kind]:checked").value;

async function sendFiles(files) {
  by("upload").hidden = false;
  const what = counted(files.length, "file");
  try {
    return await upload(files, kind(), (share) => {
      by("upload-bar").value = share;
      by("upload-text").textContent = share < 1 ? `sending ${what}, ${percent(share)}` : `reading ${what}`;
    });
  } finally {
    by("upload").hidden = true;
  }
}

async function attempt(work, added) {
  tell(by("fault"), "");
  try {
    added((await work()).sample);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    tell(by("fault"), error.message);
  }
}
