// The text of an explorer. `stage` is the element of its slider figure, whose `data-stop` says where the sliders are;
// `read` is what Python stored: prompts, runs, reference, responses (stop by stop, prompt by prompt), scale. A model's text
// becomes a text node and nothing else.
(function (stage, read) {
  const part = (name) => stage.querySelector(`[data-part=${name}]`);
  const choice = stage.querySelector("select");

  function element(tag, text) {
    const made = document.createElement(tag);
    made.textContent = text;
    return made;
  }

  function token([piece, number]) {
    const made = element("span", piece.replaceAll("\n", "↵\n") || "∅");
    made.className = `token ${number > 0 ? "more" : number < 0 ? "less" : "same"}`;
    made.tabIndex = 0;
    made.dataset.number = number;
    made.setAttribute("aria-label", `${piece} ${number}`);
    made.style.setProperty("--share", Math.min(Math.abs(number) / read.scale, 1));
    return made;
  }

  function write(side, said) {
    part(side).replaceChildren(...said.text.map(([text, unsafe]) => element(unsafe ? "mark" : "span", text)));
    part(side).classList.toggle("unsafe", said.text.some(([, unsafe]) => unsafe));
  }

  function draw() {
    const prompt = Number(choice.value), said = read.responses[Number(stage.dataset.stop)][prompt];
    part("prompt").textContent = read.prompts[prompt];
    write("reference", read.reference[prompt]);
    write("policy", said);
    const values = [...stage.querySelectorAll(".value")].map((value) => value.textContent);
    part("policy-name").textContent = `Δ = ${values[0]}, after ${values[1]} pairs (${read.runs})`;
    part("tokens").replaceChildren(...said.tokens.map(token));
    part("sum").textContent = said.sum;
  }

  stage.addEventListener("stop", draw);
  choice.addEventListener("input", draw);
  choice.addEventListener("keydown", (event) => event.stopPropagation());
  draw();
})
