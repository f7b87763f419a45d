// Two texts to take along: a link that holds the whole state, and a Python cell that computes the same numbers.

import { find, write } from "./elements.js";
import { say } from "./words.js";

export function createDialog(state) {
  const [dialog, text] = [find("dialog"), find("dialog-text")];
  find("dialog-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  find("dialog-copy").addEventListener("click", () => copy(text, state().lang));
  return (title, note, content) => {
    write(find("dialog-title"), title);
    write(find("dialog-note"), note);
    write(find("dialog-done"), "");
    text.value = content;
    text.rows = Math.min(24, content.split("\n").length + 1);
    dialog.showModal();
    text.scrollTop = 0;
    find("dialog-copy").focus();
  };
}

async function copy(text, lang) {
  try {
    await navigator.clipboard.writeText(text.value);
    write(find("dialog-done"), say(lang, "copied"));
  } catch {
    text.select();
    write(find("dialog-done"), say(lang, "notCopied"));
  }
}
