// SPDX-License-Identifier: MIT OR Apache-2.0
// The controls of each page, which Debian's mdBook leaves out: colours, the table of contents, the copying of code, arrow keys.
(function () {
    "use strict";

    const page = document.documentElement;
    const remember = (key, value) => {
        try { localStorage.setItem(key, value); } catch (e) { /* not from the file system, in some browsers */ }
    };
    const themes = ["light", "rust", "coal", "navy", "ayu"];

    // Code is coloured with the theme's own style sheet.
    const sheets = { ayu: ["ayu"], coal: ["coal", "navy"] };
    const links = { "ayu-highlight-css": sheets.ayu, "tomorrow-night-css": sheets.coal, "highlight-css": ["light", "rust"] };
    function show(theme) {
        page.classList.remove(...themes);
        page.classList.add(theme);
        for (const [id, of] of Object.entries(links)) {
            const link = document.getElementById(id);
            if (link) link.disabled = !of.includes(theme);
        }
    }
    show(themes.find(theme => page.classList.contains(theme)) || "light");

    const toggle = document.getElementById("theme-toggle");
    const list = document.getElementById("theme-list");
    const open = is => {
        list.style.display = is ? "block" : "none";
        toggle.setAttribute("aria-expanded", is);
    };
    if (toggle && list) {
        toggle.addEventListener("click", () => open(list.style.display !== "block"));
        document.addEventListener("click", event => { if (!event.target.closest("#theme-toggle, #theme-list")) open(false); });
        document.addEventListener("keydown", event => { if (event.key === "Escape") open(false); });
        for (const button of list.querySelectorAll("button.theme")) {
            button.addEventListener("click", () => {
                const dark = matchMedia("(prefers-color-scheme: dark)").matches;
                const theme = themes.includes(button.id) ? button.id : dark ? default_dark_theme : default_light_theme;
                show(theme);
                remember("mdbook-theme", theme);
                open(false);
            });
        }
    }

    const contents = document.getElementById("sidebar-toggle-anchor");
    if (contents) {
        contents.addEventListener("change", () => {
            page.classList.toggle("sidebar-visible", contents.checked);
            page.classList.toggle("sidebar-hidden", !contents.checked);
            remember("mdbook-sidebar", contents.checked ? "visible" : "hidden");
        });
    }

    for (const code of document.querySelectorAll("pre > code")) {
        if (/\blanguage-/.test(code.className)) hljs.highlightBlock(code);
        else code.classList.add("hljs");
        if (!navigator.clipboard) continue;
        const copy = Object.assign(document.createElement("button"), { className: "copy-code", type: "button", textContent: "copy" });
        copy.addEventListener("click", () => navigator.clipboard.writeText(code.textContent).then(() => {
            copy.textContent = "copied";
            setTimeout(() => { copy.textContent = "copy"; }, 1500);
        }));
        code.parentElement.prepend(copy);
    }

    document.addEventListener("keydown", event => {
        if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || event.target.closest("input, select, textarea, pre")) return;
        const where = { ArrowLeft: ".nav-chapters.previous", ArrowRight: ".nav-chapters.next" }[event.key];
        const link = where && document.querySelector(where);
        if (link) location.href = link.href;
    });
})();
