// What the page asks the server.

/** An answer that says no; its message is the server's line. */
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  const answer = await fetch(path, { credentials: "same-origin", ...options }).catch(() => {
    throw new Refusal(0, "the server can't be reached: is dorl serve still running?");
  });
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  throw new Refusal(answer.status, await reason(answer));
}

async function reason(answer) {
  const told = await answer.json().catch(() => ({}));
  return told.detail ?? `the server failed (${answer.status})`;
}

const sent = (method, body) => ({ method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

export const getModel = () => ask("/v1/model");
export const getSamples = () => ask("/v1/samples");
export const getCell = (cell) => ask(`/v1/cells/${cell}`);
export const dropSample = (sample) => ask(`/v1/samples/${sample}`, { method: "DELETE" });
export const getFields = (sample) => ask(`/v1/samples/${sample}/fields`);
/** Take a folder of the server; `kind` is "cells" or "fields". */
export const takeFolder = (name, kind) => ask(`/v1/folders/${encodeURIComponent(name)}/${kind}?wait=0`, { method: "POST" });
export const setLabel = (cell, label) => ask(`/v1/cells/${cell}/label`, sent("PUT", { label }));
export const dropLabel = (cell) => ask(`/v1/cells/${cell}/label`, { method: "DELETE" });
export const beginSession = (token) => ask("/v1/session", sent("POST", { token }));

/** Cells of a sample; `filter` has order, show, class, field, start and most. */
export function getCells(sample, filter) {
  const given = Object.entries(filter).filter(([, value]) => value !== "" && value !== null);
  return ask(`/v1/samples/${sample}/cells?${new URLSearchParams(given)}`);
}

/** Send files as "cells" or "fields"; `progress` is called with the share that is sent. (fetch doesn't tell that.) */
export function upload(files, kind, progress) {
  const form = new FormData();
  for (const file of files) form.append("files", file, file.name);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/v1/${kind}?wait=0`);
    request.responseType = "json";
    request.upload.onprogress = (event) => progress(event.total ? event.loaded / event.total : 0);
    request.onload = () => {
      if (request.status < 300) resolve(request.response);
      else reject(new Refusal(request.status, request.response?.detail ?? `the server failed (${request.status})`));
    };
    request.onerror = () => reject(new Refusal(0, "the upload broke off: the server refused it, or can't be reached"));
    request.send(form);
  });
}
