// Pages that keep themselves new. The stream says which tasks changed; what is shown of them is fetched as the server writes it, so that
// counts, rows and the revision beside them are of one moment. Rows never move: what came or would stand elsewhere waits behind the pill.
import { synchronise, tick } from "./clock.js";

const root = document.body.dataset.root;
const LEAST_MS = 1000; // between two looks,
const SHARE = 4; // and so many times as long as the last one took
const QUIET_MS = 10_000; // a look without changes, to hear how far behind the store is
const PANELS_MS = 15_000;
const MAX_KNOWN = 10_000; // changed tasks that are told apart
const MAX_URL = 16_000;
const AWAY_MS = 5000;
const REST_MS = 20_000;
const MAX_LIT = 12; // rows that light up at once: where all do, it tells nothing

const notice = document.getElementById("notice");

function say(text) {
  if (notice.textContent !== text) notice.textContent = text;
  notice.hidden = !text;
}

async function fetched(url) {
  const answer = await fetch(url, { headers: { Accept: "text/html" }, cache: "no-store" });
  if (answer.redirected) location.reload(); // the login has ended
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  return { page, ok: answer.ok, status: answer.status };
}

// Another element in the place of one, where it says something else.
function swap(old, fresh) {
  if (!old || !fresh || old.outerHTML === fresh.outerHTML) return;
  for (const each of old.querySelectorAll("details[id][open]")) {
    const same = fresh.querySelector(`#${CSS.escape(each.id)}`);
    if (same) same.open = true;
  }
  old.replaceWith(document.adoptNode(fresh));
}

// Work that is asked for often and done now and then: never twice at once, and with time in between for all else.
function paced(work) {
  let timer = 0;
  let due = 0;
  let running = false;
  let again = false;
  const run = async () => {
    timer = 0;
    running = true;
    const began = performance.now();
    try {
      await work();
    } catch {
      /* the stream's own error says that the server is away */
    }
    running = false;
    due = performance.now() + Math.max(LEAST_MS, SHARE * (performance.now() - began));
    if (again) ask();
  };
  const ask = () => {
    again = running;
    if (!running && !timer) timer = setTimeout(run, Math.max(0, due - performance.now()));
  };
  return ask;
}

// The stream of changes for one place. `on` has: changed(message), renew() when going on is not possible, and state(name).
class Stream {
  constructor(place, on) {
    this.place = place;
    this.on = on;
    this.away = 0;
    addEventListener("pagehide", () => this.source?.close());
    document.addEventListener("visibilitychange", () => this.rest());
    addEventListener("pageshow", (event) => event.persisted && this.on.renew());
  }

  open() {
    this.source?.close();
    const { token, filters } = this.place();
    const query = new URLSearchParams({ fields: "id", extension: "false", since: token });
    if (filters) query.set("filters", filters);
    const source = new EventSource(`${root}/api/changes?${query}`);
    this.source = source;
    source.addEventListener("open", () => this.reached());
    source.addEventListener("ready", () => this.reached());
    source.addEventListener("changes", (event) => this.on.changed(JSON.parse(event.data)));
    source.addEventListener("resync", () => {
      source.close();
      this.on.renew();
    });
    source.addEventListener("error", () => {
      if (!this.away) this.away = setTimeout(() => this.lost(), 1500);
      if (source.readyState === EventSource.CLOSED) setTimeout(() => source === this.source && !this.closed && this.on.renew(), AWAY_MS);
    });
  }

  // Nobody looks: a browser has six connections to a server for all its tabs, and each stream holds one.
  rest() {
    clearTimeout(this.resting);
    if (document.hidden) {
      this.resting = setTimeout(() => {
        this.source?.close();
        this.closed = true;
      }, REST_MS);
    } else if (this.closed) {
      this.closed = false;
      this.open();
    }
  }

  reached() {
    clearTimeout(this.away);
    const was = this.isLost;
    this.away = 0;
    this.isLost = false;
    say("");
    if (was) this.on.state("back");
  }

  lost() {
    this.isLost = true;
    say("Offline: the server does not answer. What you see is as it was; this page goes on by itself when it is back.");
    this.on.state("offline");
  }
}

export function followList() {
  const first = document.getElementById("table");
  if (!first?.dataset.live) return;
  let paused = first.dataset.live === "off";
  let known = new Set(); // tasks whose place in the list may be another by now
  let lastPanels = 0;
  let panelsTook = 0;

  const table = () => document.getElementById("table");
  const rows = () => [...table().querySelectorAll("tr[data-id]")];
  const stream = new Stream(() => table().dataset, { changed, renew, state });

  function changed(message) {
    const shown = new Map(rows().map((row) => [row.dataset.id, row]));
    for (const { id } of message.changed) if (!shown.has(id) && known.size < MAX_KNOWN) known.add(id);
    for (const id of [...message.left, ...message.deleted]) if (!shown.has(id)) known.delete(id);
    if (paused) for (const { id } of message.changed) if (known.size < MAX_KNOWN) known.add(id);
    show();
    if (!paused) look();
  }

  function show() {
    const pill = document.getElementById("pill");
    const count = known.size >= MAX_KNOWN ? `${MAX_KNOWN.toLocaleString("en")}+` : known.size.toLocaleString("en");
    const text = `${count} changed`;
    if (pill.textContent !== text) pill.textContent = text;
    pill.title = "Show the list as it is now (r)";
    pill.hidden = known.size === 0;
    const live = document.getElementById("live");
    const word = stream.isLost ? "offline" : paused ? "paused" : live.classList.contains("is-fresh") ? "live" : null;
    if (word) live.querySelector("span").textContent = word;
  }

  const look = paced(async () => {
    if (paused || document.hidden) return;
    const ids = rows().map((row) => row.dataset.id);
    let url = table().dataset.url;
    url += `${url.includes("?") ? "&" : "?"}part=live`;
    for (const id of ids) {
      const more = `&id=${encodeURIComponent(id)}`;
      if (url.length + more.length > MAX_URL) break;
      url += more;
    }
    const { page, ok } = await fetched(url);
    if (!ok || paused) return;
    const fresh = new Map([...page.querySelectorAll("tr[data-id]")].map((row) => [row.dataset.id, row]));
    const total = page.getElementById("total");
    synchronise(total.dataset.now);
    let swapped = 0;
    for (const row of rows()) {
      const now = fresh.get(row.dataset.id);
      if (!now || (now.dataset.rowRevision === row.dataset.rowRevision && now.className === row.className)) continue;
      if (now.dataset.key !== row.dataset.key) known.add(row.dataset.id);
      const focused = row.contains(document.activeElement);
      if ((swapped += 1) <= MAX_LIT) now.classList.add("is-new");
      row.replaceWith(document.adoptNode(now));
      if (focused) now.querySelector(".open")?.focus();
    }
    swap(document.getElementById("banner"), page.getElementById("banner"));
    swapFocused("chips", page);
    document.getElementById("total").innerHTML = total.innerHTML;
    table().dataset.token = total.dataset.token;
    show();
    tick();
    if (performance.now() - lastPanels > Math.max(PANELS_MS, 20 * panelsTook)) panels();
  });

  // The part with the same links, and the focus on the same one of them.
  function swapFocused(id, page) {
    const old = document.getElementById(id);
    const at = [...old.querySelectorAll("a")].indexOf(document.activeElement);
    swap(old, page.getElementById(id));
    if (at >= 0) document.getElementById(id).querySelectorAll("a")[at]?.focus();
  }

  const all = paced(async () => {
    const { page, ok } = await fetched(table().dataset.url);
    if (!ok) {
      say("The list can’t be read for the moment; trying again.");
      setTimeout(all, AWAY_MS);
      return;
    }
    known = new Set();
    synchronise(page.body.dataset.now);
    const focused = document.activeElement?.closest?.("tr[data-id]")?.dataset.id;
    for (const id of ["banner", "chips"]) swap(document.getElementById(id), page.getElementById(id));
    swap(table(), page.getElementById("table"));
    wire();
    if (focused) table().querySelector(`tr[data-id="${CSS.escape(focused)}"] .open`)?.focus({ preventScroll: true });
    if (!stream.source || stream.source.readyState === EventSource.CLOSED) stream.open();
    show();
    tick();
    panels();
  });

  function renew() {
    all();
  }

  function state(name) {
    show();
    if (name === "back") look();
  }

  const panels = async () => {
    const facets = document.getElementById("panels-facets");
    const chart = document.getElementById("panels-chart");
    if (facets.matches(":hover, :focus-within") && facets.querySelector(".facets-box")) return; // nor do these move under the cursor
    if (chart.matches(":hover, :focus-within") && chart.querySelector(".chart-box")) return;
    const began = performance.now();
    lastPanels = began;
    const url = table().dataset.url;
    try {
      const { page, ok } = await fetched(`${url}${url.includes("?") ? "&" : "?"}part=panels`);
      panelsTook = performance.now() - began;
      if (!ok) throw new Error("refused");
      facets.replaceChildren(document.adoptNode(page.querySelector(".facets-box")));
      chart.replaceChildren(document.adoptNode(page.querySelector(".chart-box")));
    } catch {
      panelsTook = performance.now() - began;
      for (const each of document.querySelectorAll(".columns .waiting")) each.textContent = "Facets and histogram could not be counted in time.";
    }
  };

  function wire() {
    document.getElementById("pill").addEventListener("click", () => {
      table().querySelector(".open")?.focus({ preventScroll: true });
      all();
    });
    const pause = document.getElementById("pause");
    const mark = () => {
      pause.setAttribute("aria-pressed", String(paused));
      pause.querySelector("span").textContent = paused ? "Paused" : "Pause";
    };
    mark();
    pause.addEventListener("click", () => {
      paused = !paused;
      mark();
      const here = new URL(location.href);
      if (paused) here.searchParams.set("live", "off");
      else here.searchParams.delete("live");
      history.replaceState(null, "", here);
      show();
      if (!paused) look();
    });
  }

  document.addEventListener("tracker:refresh", all);
  document.addEventListener("visibilitychange", () => !document.hidden && look());
  setInterval(look, QUIET_MS);
  wire();
  show();
  stream.open();
  if (document.getElementById("panels-chart").dataset.load) panels();
}

export function followTask() {
  const place = document.getElementById("detail");
  if (!place) return;
  const look = paced(async () => {
    if (document.hidden) return;
    const { page, ok, status } = await fetched(place.dataset.url);
    if (status === 404) {
      stream.source.close();
      say("This task was deleted. What you see is what was known of it.");
      return;
    }
    if (!ok) return;
    synchronise(page.body.dataset.now);
    const fresh = page.getElementById("detail");
    for (const part of place.querySelectorAll(":scope section[id^='part-']")) {
      if (!part.contains(document.activeElement)) swap(part, fresh.querySelector(`#${part.id}`));
    }
    swap(document.getElementById("banner"), page.getElementById("banner"));
    place.dataset.token = fresh.dataset.token;
    tick();
    live();
  });
  const stream = new Stream(() => place.dataset, {
    changed: look,
    renew: async () => {
      look();
      setTimeout(() => stream.open(), LEAST_MS);
    },
    state: (name) => {
      live();
      if (name === "back") look();
    },
  });
  const live = () => {
    const mark = document.getElementById("live");
    if (mark.classList.contains("is-fresh")) mark.querySelector("span").textContent = stream.isLost ? "offline" : "live";
  };
  document.addEventListener("tracker:refresh", look);
  document.addEventListener("visibilitychange", () => !document.hidden && look());
  setInterval(look, 3 * QUIET_MS);
  live();
  stream.open();
}

export function pollSystem() {
  const place = document.getElementById("system");
  if (!place) return;
  let failures = 0;
  const look = async () => {
    if (document.hidden) return;
    try {
      const { page, ok } = await fetched(place.dataset.poll);
      if (!ok) throw new Error("refused");
      failures = 0;
      say("");
      synchronise(page.body.dataset.now);
      for (const part of place.querySelectorAll(":scope [id^='part-'], #refused")) {
        if (!part.contains(document.activeElement)) swap(part, page.getElementById(part.id));
      }
      swap(document.getElementById("banner"), page.getElementById("banner"));
      tick();
    } catch {
      failures += 1;
      if (failures > 1) say("Offline: the server does not answer. What you see is as it was; this page goes on by itself when it is back.");
    }
  };
  document.addEventListener("tracker:refresh", look);
  setInterval(look, 5000);
}
