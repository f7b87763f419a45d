// plotly.js, gzipped and in base64, becomes window.Plotly once per page. It is run as a script of the page with
// `define`, `module` and `exports` hidden, because a page with require.js would otherwise swallow it.
(function (packed) {
  window.safedpoPlotly ??= (async () => {
    const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const source = await new Response(stream).text();
    const script = document.createElement("script");
    script.textContent = `(function (define, module, exports) {${source}\n}).call(window);`;
    document.head.append(script);
    return window.Plotly;
  })();
})
