// Times that go on: by the server's clock, whatever this machine's says, and never below nothing.
let ahead = 0;

export function synchronise(text) {
  const now = Date.parse(text);
  if (!Number.isNaN(now)) ahead = now - Date.now();
}

const two = (number) => String(number).padStart(2, "0");

export function span(seconds) {
  const all = Math.max(0, seconds);
  if (all < 10) return `${all.toFixed(1)} s`;
  const whole = Math.floor(all);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  return `${Math.floor(whole / 86400)} d ${two(Math.floor((whole % 86400) / 3600))} h`;
}

export function relative(text, now) {
  const seconds = (now - Date.parse(text)) / 1000;
  if (seconds < -5) return `in ${span(-seconds)}`;
  return seconds < 7 * 86400 ? `${span(seconds)} ago` : text.slice(0, 10);
}

export function tick() {
  if (document.hidden) return;
  const now = Date.now() + ahead;
  for (const each of document.querySelectorAll("[data-ago]")) {
    const text = relative(each.dateTime, now);
    if (each.textContent !== text) each.textContent = text;
  }
  for (const each of document.querySelectorAll("[data-since]")) {
    const text = span((now - Date.parse(each.dataset.since)) / 1000);
    if (each.textContent !== text) each.textContent = text;
  }
}
