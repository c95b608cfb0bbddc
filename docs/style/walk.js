// SPDX-License-Identifier: MIT OR Apache-2.0
// The page "The walk, by hand": an address, cut into the indices of a page-table walk.
(function () {
    "use strict";

    const place = document.getElementById("walk");
    if (!place) return;

    const MASK = (1n << 64n) - 1n;
    // Name, lowest bit and number of bits, from the top table down.
    const LEVELS = [["PGD", 39n, 9n], ["PUD", 30n, 9n], ["PMD", 21n, 9n], ["PTE", 12n, 9n]];
    const FIVE_LEVELS = [["PGD", 48n, 9n], ["P4D", 39n, 9n]].concat(LEVELS.slice(1));
    // The last table of a page of each size, and its lowest bit.
    const SIZES = { "4 KiB": 12n, "2 MiB": 21n, "1 GiB": 30n };
    let address = 0x7f41d8c12345n;

    const element = (name, properties, ...children) => {
        const made = Object.assign(document.createElement(name), properties);
        made.append(...children);
        return made;
    };
    const select = (label, names) => {
        const chosen = element("select", { onchange: show }, ...names.map(name => element("option", { value: name }, name)));
        chosen.setAttribute("aria-label", label);
        return chosen;
    };
    const step = (label, by) => element("button", { type: "button", onclick: () => {
        address = (address + by) & MASK;
        input.value = address.toString(16);
        show();
    } }, label);

    const input = element("input", { type: "text", value: address.toString(16), spellcheck: false, oninput: typed });
    input.setAttribute("aria-label", "The address, in hexadecimal");
    const levels = select("How many levels", ["4 levels", "5 levels"]);
    const size = select("The size of the page", Object.keys(SIZES));
    const note = element("p", { className: "walk-note" });
    note.setAttribute("role", "status");
    const bits = element("div", { className: "walk-bits" });
    const steps = element("tbody", {});
    place.append(
        element("p", { className: "walk-controls" }, "0x", input, levels, size),
        element("p", { className: "walk-controls" }, step("+ 4 KiB", 0x1000n), step("− 4 KiB", -0x1000n),
            step("+ 2 MiB", 0x200000n), step("+ 1 GiB", 0x40000000n)),
        bits, note,
        element("div", { className: "table-wrapper" }, element("table", {},
            element("thead", {}, element("tr", {}, ...["level", "bits", "index", "the entry is at"].map(word => element("th", {}, word)))),
            steps)));
    show();

    function typed() {
        const text = input.value.trim().replace(/^0x/i, "").replace(/_/g, "");
        if (!/^[0-9a-f]{1,16}$/i.test(text)) {
            note.textContent = "That is no address: type up to 16 hexadecimal digits.";
            return;
        }
        address = BigInt("0x" + text);
        show();
    }

    // The pieces of an address, from the highest bit down.
    function pieces() {
        const tables = (levels.value === "5 levels" ? FIVE_LEVELS : LEVELS).filter(([, low]) => low >= SIZES[size.value]);
        const top = tables[0][1] + tables[0][2];
        return [["sign", top, 64n - top], ...tables, ["offset", 0n, SIZES[size.value]]];
    }

    function show() {
        const all = pieces();
        // All bits above the top table's must be copies of its highest.
        const sign = address >> (all[0][1] - 1n);
        const canonical = sign === 0n || sign === (1n << (65n - all[0][1])) - 1n;
        const value = ([, low, width]) => (address >> low) & ((1n << width) - 1n);
        bits.replaceChildren(...all.map((piece, i) => {
            const [name, low, width] = piece;
            const digits = value(piece).toString(2).padStart(Number(width), "0");
            const colour = name === "sign" ? "sign" : name === "offset" ? "offset" : "level" + (i - 1);
            return element("span", { className: "walk-piece walk-" + colour },
                element("span", { className: "walk-name" }, name),
                element("code", {}, digits),
                element("span", { className: "walk-range" }, (low + width - 1n) + "…" + low));
        }));
        bits.classList.toggle("walk-refused", !canonical);
        steps.replaceChildren(...all.slice(1).map(piece => {
            const [name, low, width] = piece;
            const index = value(piece);
            const where = !canonical ? "–" : name === "offset" ? "0x" + index.toString(16) + " bytes into the page"
                : "table + 0x" + (8n * index).toString(16) + " (8 bytes each)";
            return element("tr", {}, ...[name, (low + width - 1n) + "…" + low, canonical ? index.toString() : "–", where].map(word => element("td", {}, word)));
        }));
        const half = sign === 0n ? "in the half of programs" : "in the half of the kernel";
        note.textContent = "0x" + address.toString(16) + (canonical ? " is " + half + "." : " is not canonical: the CPU refuses it.");
    }
})();
