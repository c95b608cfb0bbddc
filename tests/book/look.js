// SPDX-License-Identifier: GPL-2.0-only
// What does not look right on the page that is shown, a sentence each. check.py has Chromium run it.
(async () => {
    const problems = [];
    const main = document.querySelector("main") || document.body;
    const start = element => (element.textContent || "").trim().replace(/\s+/g, " ").slice(0, 40);

    await document.fonts.ready;
    // Let the layout of a new width settle.
    await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));

    for (const image of document.images) {
        await image.decode().catch(() => {});
        if (!image.naturalWidth) problems.push("the image " + image.getAttribute("src") + " is not there");
    }

    const page = document.documentElement;
    if (page.scrollWidth > innerWidth + 1) problems.push("the page is " + page.scrollWidth + " px wide");

    // No table is wider than what it is in, even where that can be scrolled.
    for (const table of main.querySelectorAll("table")) {
        const room = table.closest(".table-wrapper") || main;
        if (table.scrollWidth > room.clientWidth + 1)
            problems.push("a table of " + table.scrollWidth + " px has " + room.clientWidth + " px: " + start(table));
    }
    // Code may be scrolled on a telephone.
    for (const code of main.querySelectorAll("pre > code, pre")) {
        if (innerWidth > 1000 && code.scrollWidth > code.clientWidth + 1)
            problems.push("code of " + code.scrollWidth + " px has " + code.clientWidth + " px: " + start(code));
    }

    // The contrast of text with its ground, as WCAG has it.
    const parse = colour => (colour.match(/[\d.]+/g) || []).map(Number);
    const ground = element => {
        for (; element; element = element.parentElement) {
            const colour = parse(getComputedStyle(element).backgroundColor);
            if (colour.length === 3 || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
    };
    const luminance = colour => {
        const [r, g, b] = colour.map(value => value / 255).map(value => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const seen = new Set();
    for (const element of main.querySelectorAll("p, td, th, a, code, li, h1, h2, h3, span, button, em, strong")) {
        if (!start(element) || !element.getClientRects().length) continue;
        const colours = [parse(getComputedStyle(element).color).slice(0, 3), ground(element).slice(0, 3)];
        const key = colours.join(" on ");
        if (seen.has(key)) continue;
        seen.add(key);
        const [high, low] = colours.map(luminance).sort((a, b) => b - a);
        const contrast = (high + 0.05) / (low + 0.05);
        if (contrast < 3) problems.push("text is hard to read (" + key + ", " + contrast.toFixed(1) + "): " + start(element));
    }
    return problems;
})()
