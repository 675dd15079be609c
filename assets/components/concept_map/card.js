// The card of the concept under the hand or in focus, with its pictures.

const WAIT_FOR_PICTURES = 160;

function describe(points, i) {
  const share = (100 * points.shares[i]) / 65535;
  const fires = points.frequency[i] ? `on ${share.toFixed(share < 1 ? 2 : 1)}% of images` : "never fires";
  return `${fires}${points.topClass[i] ? `, most of “${points.classes[points.topClass[i] - 1]}”` : ""}`;
}

function conceptCard(map, card, around) {
  let timer = 0;

  function show() {
    const { width, height, onScreen, alive } = around();
    const i = map.hover >= 0 ? map.hover : map.focus;
    card.hidden = i < 0 || !map.points || !alive(i);
    if (card.hidden) return;
    const known = map.pictures.get(i), picture = card.querySelector("img");
    card.querySelector("b").textContent = map.points.names[i];
    card.querySelector("p").textContent = describe(map.points, i);
    picture.hidden = known === "";
    picture.classList.toggle("waiting", known === undefined);
    if (known) picture.src = known;
    else picture.removeAttribute("src");
    picture.alt = known ? `Images on which “${map.points.names[i]}” is strongest` : "";
    const [x, y] = onScreen(i);
    card.style.left = `${Math.max(6, Math.min(width - 206, x + 14))}px`;
    card.style.top = `${y > height / 2 ? Math.max(6, y - card.offsetHeight - 14) : y + 14}px`;
    if (known === undefined) ask(i, alive);
  }

  // A pause of the hand asks for the pictures of what lies under it and of its neighbours; they are asked for once.
  function ask(i, alive) {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (map.asked.has(i)) return;
      const wanted = [i], reach = 60 / map.view.scale, { x, y } = map.points;
      eachWithin(map.points, x[i] - reach, y[i] - reach, x[i] + reach, y[i] + reach, (j) => {
        if (wanted.length < 4 && j !== i && alive(j) && !map.pictures.has(j) && !map.asked.has(j)) wanted.push(j);
      });
      for (const one of wanted) map.asked.add(one);
      map.send("wanted", wanted);
    }, WAIT_FOR_PICTURES);
  }

  show.stop = () => clearTimeout(timer);
  return show;
}
