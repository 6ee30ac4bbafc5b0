// Live updates, copy buttons, select-all checkboxes, and relative times. Every page works without this file.
"use strict";

(() => {
  const main = document.getElementById("main");

  // ---- copy buttons ----

  const showCopied = (button) => {
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  };
  const enableCopyButtons = () => {
    if (!navigator.clipboard) return;
    for (const button of document.querySelectorAll("[data-copy]")) {
      if (!button.hidden) continue;
      button.hidden = false;
      button.addEventListener("click", async () => {
        const text = document.getElementById(button.dataset.copy).textContent;
        await navigator.clipboard.writeText(text);
        showCopied(button);
      });
    }
    // Copies the body as received, not as formatted.
    for (const button of document.querySelectorAll("[data-fetch]")) {
      if (!button.hidden) continue;
      button.hidden = false;
      button.addEventListener("click", async () => {
        const response = await fetch(button.dataset.fetch);
        if (!response.ok) return;
        await navigator.clipboard.writeText(await response.text());
        showCopied(button);
      });
    }
  };

  // ---- selection ----

  const checkboxes = (name) => [...document.querySelectorAll(`input[type=checkbox][form="${name}"]`)];
  const updateSelection = () => {
    for (const all of document.querySelectorAll("[data-select-all]")) {
      const selected = checkboxes(all.dataset.selectAll).filter((box) => box.checked).length;
      all.hidden = false;
      all.checked = selected > 0 && selected === checkboxes(all.dataset.selectAll).length;
      all.indeterminate = selected > 0 && !all.checked;
      const form = document.getElementById(all.dataset.selectAll);
      document.getElementById("selected-count").textContent = selected ? `${selected} selected:` : "Selected:";
      for (const button of form.querySelectorAll("button")) button.disabled = selected === 0;
    }
  };
  document.addEventListener("change", ({ target }) => {
    if (target.dataset?.selectAll) for (const box of checkboxes(target.dataset.selectAll)) box.checked = target.checked;
    if (target.type === "checkbox") updateSelection();
  });
  // A page restored from the back/forward cache keeps its checked boxes.
  window.addEventListener("pageshow", updateSelection);

  // ---- relative times ----

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
  const localFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
  const zone = document.getElementById("zone");
  if (zone) zone.hidden = false;
  const updateTimes = () => {
    for (const time of document.querySelectorAll("time[data-age]")) {
      const at = new Date(time.dateTime);
      const text = age((Date.now() - at) / 1000);
      if (time.textContent !== text) time.textContent = text;
    }
    // Times are shown in UTC; the tooltip has the local time.
    for (const time of document.querySelectorAll("time[data-age], time[data-instant]")) {
      const title = `${time.dateTime}\n${localFormat.format(new Date(time.dateTime))}`;
      if (time.title !== title) time.title = title;
    }
  };

  // ---- live updates ----

  // Changes `old` into `fresh` with as few DOM changes as possible, so that focus, open details and typed text survive.
  const sameKind = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && key(a) === key(b);
  // Read as attributes, because `form.id` is the field named "id" if there is one.
  const key = (node) => (node.nodeType === 1 ? node.getAttribute("id") || node.getAttribute("data-key") || "" : "");
  const isInput = (node) => /^(INPUT|SELECT|TEXTAREA)$/.test(node.nodeName);

  const morph = (old, fresh) => {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType !== 1) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    if (isInput(old)) return;
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && !keepsAttribute(old, name)) old.removeAttribute(name);
    }
    for (const { name, value } of [...fresh.attributes]) {
      if (old.getAttribute(name) !== value && !keepsAttribute(old, name)) old.setAttribute(name, value);
    }
    morphChildren(old, fresh);
  };

  const keepsAttribute = (node, name) => (node.nodeName === "DETAILS" && name === "open") || ((node.dataset?.copy || node.dataset?.fetch || node.id === "zone") && name === "hidden");

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

  const announcement = document.getElementById("announcement");
  let lastAnnounced = 0;
  const announce = (text) => {
    // At most every ten seconds, so that a screen reader can finish.
    if (Date.now() - lastAnnounced < 10000) return;
    lastAnnounced = Date.now();
    announcement.textContent = text;
  };

  const states = () => [...main.querySelectorAll(".title .badge, .job-head .badge")].map((badge) => badge.textContent);
  const firstRow = () => main.querySelector("tbody tr")?.dataset.key;

  let isLoading = false;
  let isStale = false;
  const refresh = async () => {
    if (isLoading) { isStale = true; return; }
    isLoading = true;
    try {
      const response = await fetch(location.href, { headers: { accept: "text/html" } });
      if (response.redirected) { location.reload(); return; }
      if (!response.ok) return;
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const fresh = page.getElementById("main");
      if (!fresh) return;
      const [oldStates, oldFirst] = [states().join(), firstRow()];
      // A flash message is shown once.
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
      if (oldStates && states().join() !== oldStates) announce(`Now ${states()[0]}.`);
      else if (oldFirst && firstRow() !== oldFirst) announce("The list has new rows.");
      enableCopyButtons();
      updateSelection();
      updateTimes();
    } catch {
      // The next event, or the end of the stream, causes another attempt.
    } finally {
      isLoading = false;
      if (isStale) { isStale = false; setTimeout(refresh, 200); }
    }
  };

  const live = document.getElementById("live");
  let stream = null;
  const showLive = (text, isOn) => {
    live.hidden = false;
    live.classList.toggle("on", isOn);
    if (live.textContent !== text) live.textContent = text;
  };
  const follow = () => {
    if (stream || !main?.hasAttribute("data-live") || document.hidden) return;
    stream = new EventSource(`/live?since=${main.dataset.live}`);
    stream.addEventListener("open", () => showLive("Live", true));
    stream.addEventListener("changed", refresh);
    stream.addEventListener("error", () => {
      showLive("Not live", false);
      if (stream?.readyState === EventSource.CLOSED) {
        stream = null;
        setTimeout(() => { follow(); refresh(); }, 5000);
      }
    });
  };
  // Browsers limit connections per host, so a hidden page closes its stream.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      stream?.close();
      stream = null;
    } else {
      if (main?.hasAttribute("data-live")) refresh();
      follow();
    }
  });

  enableCopyButtons();
  updateSelection();
  updateTimes();
  setInterval(updateTimes, 5000);
  follow();
})();
