// Mouse, fingers and keys on the map.

const STEP = 80; // pixels an arrow key moves

export class Hand {
  constructor(map) {
    this.map = map;
    this.down = new Map();
    this.onHover = () => {};
    this.onPick = () => {};
    const canvas = map.canvas;
    canvas.addEventListener('pointerdown', (event) => this.press(event));
    canvas.addEventListener('pointermove', (event) => this.move(event));
    for (const end of ['pointerup', 'pointercancel']) canvas.addEventListener(end, (event) => this.release(event));
    canvas.addEventListener('pointerleave', () => this.onHover(null));
    canvas.addEventListener('wheel', (event) => this.wheel(event), { passive: false });
    canvas.addEventListener('keydown', (event) => this.key(event));
  }

  press(event) {
    this.map.canvas.setPointerCapture(event.pointerId);
    this.down.set(event.pointerId, [event.offsetX, event.offsetY]);
    this.travelled = this.down.size > 1 ? Infinity : 0;
  }

  move(event) {
    const here = [event.offsetX, event.offsetY];
    const last = this.down.get(event.pointerId);
    if (!last) {
      this.onHover(this.map.at(...here), ...here);
      return;
    }
    const other = [...this.down].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      this.map.pan((here[0] - last[0]) / 2, (here[1] - last[1]) / 2);
      const reach = ([x, y]) => Math.max(20, Math.hypot(x - other[0], y - other[1]));
      this.map.zoom(reach(here) / reach(last), (here[0] + other[0]) / 2, (here[1] + other[1]) / 2);
    } else {
      this.travelled += Math.hypot(here[0] - last[0], here[1] - last[1]);
      // A finger never lies quite still.
      if (this.travelled > 4) this.map.pan(here[0] - last[0], here[1] - last[1]);
    }
    this.down.set(event.pointerId, here);
  }

  release(event) {
    const pressed = this.down.delete(event.pointerId);
    if (pressed && event.type === 'pointerup' && this.travelled <= 4) {
      this.onPick(this.map.at(event.offsetX, event.offsetY, 20));
    }
  }

  wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    this.map.zoom(Math.exp(-event.deltaY * lines * 0.0016), event.offsetX, event.offsetY);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = {
      ArrowLeft: () => this.map.pan(STEP, 0),
      ArrowRight: () => this.map.pan(-STEP, 0),
      ArrowUp: () => this.map.pan(0, STEP),
      ArrowDown: () => this.map.pan(0, -STEP),
      '+': () => this.map.zoom(1.5),
      '=': () => this.map.zoom(1.5),
      '-': () => this.map.zoom(1 / 1.5),
      0: () => this.map.fit(),
      Escape: () => this.onPick(null),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }
}
