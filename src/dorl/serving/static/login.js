// The question for the server's token.

import { beginSession } from "./api.js";
import { by, tell } from "./dom.js";

/** Ask for the token until it is right; `done` is called then. */
export function login(done) {
  const dialog = by("login");
  dialog.showModal();
  dialog.querySelector("form").onsubmit = async (event) => {
    event.preventDefault();
    try {
      await beginSession(by("token").value);
      dialog.close();
      done();
    } catch (error) {
      tell(by("login-fault"), error.message);
    }
  };
}
