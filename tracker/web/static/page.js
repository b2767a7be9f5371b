// What every page has: clocks that tick, the theme, the keyboard, copying; and the parts that keep it new.
import { tick, synchronise } from "./clock.js";
import { followList, followTask, pollSystem } from "./live.js";
import { brushable } from "./brush.js";

const root = document.body.dataset.root;

function themes() {
  for (const link of document.querySelectorAll("[data-theme-choice]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const theme = link.dataset.themeChoice;
      document.documentElement.dataset.theme = theme;
      document.cookie = `tracker-theme=${theme}; path=${root || "/"}; max-age=31536000; samesite=lax`;
      for (const each of document.querySelectorAll("[data-theme-choice]")) {
        if (each === link) each.setAttribute("aria-current", "true");
        else each.removeAttribute("aria-current");
      }
    });
  }
}

// "local" is the browser's own zone, which only it knows: from then on the URL names it, and the server writes every time in it.
function zones() {
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const here = new URL(location.href);
  if (here.searchParams.get("tz") === "local") {
    here.searchParams.set("tz", name);
    location.replace(here);
  }
  for (const link of document.querySelectorAll("[data-local-zone]")) {
    const target = new URL(link.href);
    if (target.searchParams.get("tz") === "local") target.searchParams.set("tz", name);
    link.href = target;
  }
}

function copying() {
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    const label = button.querySelector("span");
    try {
      await navigator.clipboard.writeText(source.textContent);
      label.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(source);
      label.textContent = "Selected";
    }
    setTimeout(() => { label.textContent = "Copy"; }, 1500);
  });
}

function keyboard() {
  const help = document.getElementById("keys");
  document.querySelector("[data-help]")?.addEventListener("click", () => help.showModal());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open || event.target.closest("input, select, textarea")) return;
    const links = [...document.querySelectorAll(".tasks .open")];
    const at = links.indexOf(document.activeElement);
    const acts = {
      "/": () => document.getElementById("filters")?.focus(),
      "?": () => help.showModal(),
      j: () => links[Math.min(at + 1, links.length - 1)]?.focus(),
      k: () => links[Math.max(at - 1, 0)]?.focus(),
      r: () => document.dispatchEvent(new Event("tracker:refresh")),
      p: () => document.getElementById("pause")?.click(),
    };
    if (acts[event.key]) {
      event.preventDefault();
      acts[event.key]();
    }
  });
  document.getElementById("filters")?.addEventListener("keydown", (event) => {
    if (event.key === "Escape") event.target.blur();
  });
}

// An open menu closes where somebody clicks beside it.
function menus() {
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });
}

synchronise(document.body.dataset.now);
tick();
setInterval(tick, 1000);
themes();
zones();
copying();
keyboard();
menus();
brushable();
followList();
followTask();
pollSystem();
