// Looks again when the server says that something changed. Without it, pages work and are as old as their loading.
(() => {
  const address = document.body.dataset.live;
  if (!address || !window.EventSource) return;
  let busy = false;
  let again = false;

  // Nobody's half-written words are taken away: the look waits while a field is in use or holds something new.
  const fields = () => [...document.querySelectorAll("main input, main select, main textarea")];
  const changed = (field) =>
    field.options ? [...field.options].some((it) => it.selected !== it.defaultSelected && it.index) : field.value !== field.defaultValue;
  const writing = () => fields().some((field) => field === document.activeElement || changed(field));

  async function look() {
    if (document.hidden || writing()) return void (again = true);
    if (busy) return void (again = true);
    busy = true;
    again = false;
    try {
      const url = new URL(location.href);
      url.searchParams.delete("note");
      const answer = await fetch(url, { cache: "no-store" });
      if (answer.redirected) return location.reload();
      if (answer.ok) swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch {
      // The stream says when the server is back.
    } finally {
      busy = false;
      if (again) setTimeout(look, 1000);
    }
  }

  function swap(fresh) {
    const [old, now] = [document.querySelector("main"), fresh.querySelector("main")];
    if (!now || writing()) return;
    for (const details of old.querySelectorAll("details[open][id]")) {
      const same = now.querySelector("#" + CSS.escape(details.id));
      if (same) same.open = true;
    }
    if (old.querySelector(".history details[open]")) return;
    if (old.innerHTML === now.innerHTML) return;
    const href = document.activeElement?.closest("main a")?.getAttribute("href");
    old.replaceChildren(...now.childNodes);
    if (href) old.querySelector(`a[href="${CSS.escape(href)}"]`)?.focus({ preventScroll: true });
  }

  const events = new EventSource(address);
  events.addEventListener("change", look);
  // The server ends a stream now and then and the browser comes back at once: only longer silence is worth a word.
  let silence = 0;
  events.onopen = () => {
    silence = clearTimeout(silence);
    delete document.body.dataset.offline;
  };
  events.onerror = () => (silence ||= setTimeout(() => (document.body.dataset.offline = ""), 10_000));
  document.addEventListener("visibilitychange", () => !document.hidden && again && look());
  document.addEventListener("focusout", () => again && setTimeout(look, 300));
})();
