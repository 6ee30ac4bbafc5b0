// What a page does beyond being read: it follows the inbox while it is open, copies, and tells ages anew.
// Nothing on any page needs this file.
"use strict";

(() => {
  const main = document.getElementById("main");

  // ---- copying ----

  const copied = (button) => {
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  };
  const armCopying = () => {
    if (!navigator.clipboard) return;
    for (const button of document.querySelectorAll("[data-copy]")) {
      if (!button.hidden) continue;
      button.hidden = false;
      button.addEventListener("click", async () => {
        const text = document.getElementById(button.dataset.copy).textContent;
        await navigator.clipboard.writeText(text);
        copied(button);
      });
    }
    // A body is copied as it was received, not as it is laid out.
    for (const button of document.querySelectorAll("[data-fetch]")) {
      if (!button.hidden) continue;
      button.hidden = false;
      button.addEventListener("click", async () => {
        const answer = await fetch(button.dataset.fetch);
        if (!answer.ok) return;
        await navigator.clipboard.writeText(await answer.text());
        copied(button);
      });
    }
  };

  // ---- ticking ----

  const boxes = (name) => [...document.querySelectorAll(`input[type=checkbox][form="${name}"]`)];
  const countTicks = () => {
    for (const all of document.querySelectorAll("[data-ticks]")) {
      const ticked = boxes(all.dataset.ticks).filter((box) => box.checked).length;
      all.hidden = false;
      all.checked = ticked > 0 && ticked === boxes(all.dataset.ticks).length;
      all.indeterminate = ticked > 0 && !all.checked;
      const form = document.getElementById(all.dataset.ticks);
      document.getElementById("ticked").textContent = ticked ? `${ticked} ticked:` : "Ticked:";
      for (const button of form.querySelectorAll("button")) button.disabled = ticked === 0;
    }
  };
  document.addEventListener("change", ({ target }) => {
    if (target.dataset?.ticks) for (const box of boxes(target.dataset.ticks)) box.checked = target.checked;
    if (target.type === "checkbox") countTicks();
  });
  // A page that comes back from the browser's memory has its ticks again.
  window.addEventListener("pageshow", countTicks);

  // ---- ages ----

  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const span = (seconds) => {
    const [length, name] = units.find(([length]) => seconds >= length);
    return `${Math.floor(seconds / length)} ${name}`;
  };
  const age = (seconds) => {
    if (seconds >= 1) return `${span(seconds)} ago`;
    if (seconds <= -1) return `in ${span(-seconds)}`;
    return "just now";
  };
  const here = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
  const zone = document.getElementById("zone");
  if (zone) zone.hidden = false;
  const tellAges = () => {
    for (const time of document.querySelectorAll("time[data-age]")) {
      const at = new Date(time.dateTime);
      const text = age((Date.now() - at) / 1000);
      if (time.textContent !== text) time.textContent = text;
    }
    // Instants stand there in UTC; what they are here is told beside them.
    for (const time of document.querySelectorAll("time[data-age], time[data-instant]")) {
      const title = `${time.dateTime}\n${here.format(new Date(time.dateTime))}`;
      if (time.title !== title) time.title = title;
    }
  };

  // ---- following ----

  // Makes `old` the same as `fresh`, touching only what differs: what has the focus keeps it, what a person has opened
  // stays open, what a person has typed stays typed.
  const sameKind = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && key(a) === key(b);
  // Asked as attributes, since a form answers `form.id` with its field of that name.
  const key = (node) => (node.nodeType === 1 ? node.getAttribute("id") || node.getAttribute("data-key") || "" : "");
  const isTyped = (node) => /^(INPUT|SELECT|TEXTAREA)$/.test(node.nodeName);

  const morph = (old, fresh) => {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType !== 1) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    if (isTyped(old)) return;
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && !kept(old, name)) old.removeAttribute(name);
    }
    for (const { name, value } of [...fresh.attributes]) {
      if (old.getAttribute(name) !== value && !kept(old, name)) old.setAttribute(name, value);
    }
    morphChildren(old, fresh);
  };

  const kept = (node, name) => (node.nodeName === "DETAILS" && name === "open") || ((node.dataset?.copy || node.dataset?.fetch || node.id === "zone") && name === "hidden");

  const morphChildren = (old, fresh) => {
    const keyed = new Map([...old.children].filter(key).map((child) => [key(child), child]));
    let place = old.firstChild;
    for (const wanted of [...fresh.childNodes]) {
      const known = key(wanted) && keyed.get(key(wanted));
      if (known && known.nodeName === wanted.nodeName) {
        if (known === place) place = place.nextSibling;
        else old.insertBefore(known, place);
        morph(known, wanted);
      } else if (place && !key(wanted) && sameKind(place, wanted)) {
        const next = place.nextSibling;
        morph(place, wanted);
        place = next;
      } else {
        old.insertBefore(document.importNode(wanted, true), place);
      }
    }
    while (place) {
      const next = place.nextSibling;
      place.remove();
      place = next;
    }
  };

  const said = document.getElementById("said");
  let lastSaid = 0;
  const say = (text) => {
    // A busy inbox would never let a screen reader finish.
    if (Date.now() - lastSaid < 10000) return;
    lastSaid = Date.now();
    said.textContent = text;
  };

  const states = () => [...main.querySelectorAll(".title .badge, .job-head .badge")].map((badge) => badge.textContent);
  const firstRow = () => main.querySelector("tbody tr")?.dataset.key;

  let isLoading = false;
  let isStale = false;
  const refresh = async () => {
    if (isLoading) { isStale = true; return; }
    isLoading = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (answer.redirected) { location.reload(); return; }
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("main");
      if (!fresh) return;
      const [wasStates, wasFirst] = [states().join(), firstRow()];
      // What was done just now was said once.
      fresh.querySelector(":scope > .notice[role=status]")?.remove();
      const notice = main.querySelector(":scope > .notice[role=status]");
      notice?.remove();
      morphChildren(main, fresh);
      main.dataset.live = fresh.dataset.live;
      if (notice) main.prepend(notice);
      const dead = page.querySelector(".dead-count");
      const oldDead = document.querySelector(".dead-count");
      if (dead && oldDead) morph(oldDead, dead);
      else if (dead) document.getElementById("head-end").prepend(document.importNode(dead, true));
      else oldDead?.remove();
      if (wasStates && states().join() !== wasStates) say(`Now ${states()[0]}.`);
      else if (wasFirst && firstRow() !== wasFirst) say("The list has new rows.");
      armCopying();
      countTicks();
      tellAges();
    } catch {
      // The next change, or the end of the stream, tells more.
    } finally {
      isLoading = false;
      if (isStale) { isStale = false; setTimeout(refresh, 200); }
    }
  };

  const live = document.getElementById("live");
  let stream = null;
  const show = (text, isOn) => {
    live.hidden = false;
    live.classList.toggle("on", isOn);
    if (live.textContent !== text) live.textContent = text;
  };
  const follow = () => {
    if (stream || !main?.hasAttribute("data-live") || document.hidden) return;
    stream = new EventSource(`/live?since=${main.dataset.live}`);
    stream.addEventListener("open", () => show("Live", true));
    stream.addEventListener("changed", refresh);
    stream.addEventListener("error", () => {
      show("Not live", false);
      if (stream?.readyState === EventSource.CLOSED) {
        stream = null;
        setTimeout(() => { follow(); refresh(); }, 5000);
      }
    });
  };
  // Browsers open few connections to one host: a page that nobody sees gives its own back.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      stream?.close();
      stream = null;
    } else {
      if (main?.hasAttribute("data-live")) refresh();
      follow();
    }
  });

  armCopying();
  countTicks();
  tellAges();
  setInterval(tellAges, 5000);
  follow();
})();
