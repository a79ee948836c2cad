"use strict";
// The live tail of the log. Rows come as markup from the server, which has escaped what it holds.
for (const state of document.querySelectorAll("[data-live]")) {
  const rows = document.getElementById("live");
  const start = new URL(state.dataset.live, location.href);
  const kept = 500;
  let source = null, last = start.searchParams.get("after"), paused = false;

  const button = document.createElement("button");
  button.type = "button";
  state.after(button);

  const say = (text, on) => {
    state.textContent = text;
    state.classList.toggle("on", on);
  };
  const close = () => {
    if (source) source.close();
    source = null;
  };
  const open = () => {
    if (source || paused || document.hidden) return;
    start.searchParams.set("after", last);
    source = new EventSource(start);
    source.onopen = () => say("live", true);
    source.onerror = () => {
      say(source.readyState === EventSource.CLOSED ? "not live: reload the page" : "connecting …", false);
      if (source.readyState === EventSource.CLOSED) close();
    };
    source.onmessage = (message) => {
      // A position is never shown twice, whatever happens to the connection.
      if (Number(message.lastEventId) <= Number(last)) return;
      last = message.lastEventId;
      const part = document.createElement("template");
      part.innerHTML = message.data;
      const row = part.content.firstElementChild;
      row.classList.add("new");
      rows.prepend(row);
      while (rows.children.length > kept) rows.lastElementChild.remove();
      for (const empty of document.querySelectorAll("main > .empty")) empty.remove();
    };
    source.addEventListener("at", (message) => {
      if (Number(message.lastEventId) > Number(last)) last = message.lastEventId;
      const behind = Number(message.data);
      say(behind > 200 ? `live, ${behind.toLocaleString("en")} behind` : "live", true);
    });
  };
  const show = () => { button.textContent = paused ? "Resume" : "Pause"; };

  button.addEventListener("click", () => {
    paused = !paused;
    show();
    if (paused) { close(); say("paused", false); } else open();
  });
  // A browser has few connections to a server: pages that nobody sees give theirs back, and go on where they were.
  document.addEventListener("visibilitychange", () => { document.hidden ? close() : open(); });
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  show();
  open();
}

// Everything that can be folded, at once.
const folds = document.querySelectorAll("main details");
if (folds.length > 1) {
  const all = document.createElement("button");
  all.type = "button";
  const show = () => { all.textContent = [...folds].some((one) => !one.open) ? "Unfold all" : "Fold all"; };
  all.addEventListener("click", () => {
    const to = [...folds].some((one) => !one.open);
    for (const one of folds) one.open = to;
    show();
  });
  show();
  document.querySelector("footer").prepend(all, " ");
}

// "/" goes to the first field, as in other tools.
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea")) return;
  const field = document.querySelector("main input:not([type=hidden])");
  if (field) { event.preventDefault(); field.focus(); }
});
