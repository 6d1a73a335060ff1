// The ground of the map: the grid of countries, and soft outlines made from it.
//
// Map units: x is the longitude in degrees, y the Mercator latitude in the same unit, downwards.

export const mapX = (lon) => lon;
export const mapY = (lat) => -Math.log(Math.tan(Math.PI / 4 + (lat * Math.PI) / 360)) * (180 / Math.PI);

const regions = new Intl.DisplayNames(['en'], { type: 'region' });

export async function loadGround() {
  const answer = await fetch('/v1/basemap');
  if (!answer.ok) throw new Error(`the map's ground answered ${answer.status}`);
  return new Ground(await answer.json());
}

class Ground {
  constructor(grid) {
    this.grid = grid;
    this.width = grid.columns;
    this.height = grid.rows.length;
    this.credit = grid.attribution;
    this.cells = unroll(grid);
    this.box = {
      left: mapX(grid.west), right: mapX(grid.west + this.width * grid.cell_lon),
      top: mapY(grid.north), bottom: mapY(grid.north - this.height * grid.cell_lat),
    };
    this.land = this.outline(this.cells.map((cell) => (cell ? 1 : 0)), 1)[0];
    this.countries = this.outline(this.cells, grid.countries.length);
    this.labels = this.placeNames();
  }

  /** The number of the country at a position, 0 at sea and off the map. */
  country(lat, lon) {
    const column = Math.floor((lon - this.grid.west) / this.grid.cell_lon);
    const line = Math.floor((this.grid.north - lat) / this.grid.cell_lat);
    if (column < 0 || line < 0 || column >= this.width || line >= this.height) return 0;
    return this.cells[line * this.width + column];
  }

  point(column, line) {
    return [
      mapX(this.grid.west + column * this.grid.cell_lon),
      mapY(this.grid.north - line * this.grid.cell_lat),
    ];
  }

  /** A path around all cells of each number. */
  outline(cells, numbers) {
    return edges(cells, this.width, this.height, numbers).map((starts) => {
      const path = new Path2D();
      for (const loop of loops(starts, this.width + 1)) {
        const points = soften(loop);
        points.forEach(([column, line], at) => {
          const [x, y] = this.point(column, line);
          if (at) path.lineTo(x, y);
          else path.moveTo(x, y);
        });
        path.closePath();
      }
      return path;
    });
  }

  /** Each name goes where its country is widest. */
  placeNames() {
    const deep = depths(this.cells, this.width, this.height);
    const widest = new Map();
    deep.forEach((depth, at) => {
      const number = this.cells[at];
      if (number && depth > (widest.get(number)?.depth ?? 0)) widest.set(number, { depth, at });
    });
    return [...widest].map(([number, { depth, at }]) => {
      const [x, y] = this.point((at % this.width) + 0.5, Math.floor(at / this.width) + 0.5);
      const name = regions.of(this.grid.countries[number - 1]);
      return { name, x, y, radius: depth * this.grid.cell_lon };
    });
  }
}

function unroll(grid) {
  const cells = new Uint16Array(grid.columns * grid.rows.length);
  let at = 0;
  for (const runs of grid.rows) {
    for (let i = 0; i < runs.length; i += 2) {
      cells.fill(runs[i], at, at + runs[i + 1]);
      at += runs[i + 1];
    }
  }
  return cells;
}

/** For each number: from corner to corner along its cells' outer sides, the cells to the right. */
function edges(cells, width, height, numbers) {
  const starts = Array.from({ length: numbers }, () => new Map());
  const corner = (column, line) => line * (width + 1) + column;
  const add = (number, from, to) => {
    const map = starts[number - 1];
    if (map.has(from)) map.get(from).push(to);
    else map.set(from, [to]);
  };
  for (let line = 0; line < height; line++) {
    for (let column = 0; column < width; column++) {
      const at = line * width + column;
      const number = cells[at];
      if (!number) continue;
      if (line === 0 || cells[at - width] !== number) add(number, corner(column, line), corner(column + 1, line));
      if (column === width - 1 || cells[at + 1] !== number) add(number, corner(column + 1, line), corner(column + 1, line + 1));
      if (line === height - 1 || cells[at + width] !== number) add(number, corner(column + 1, line + 1), corner(column, line + 1));
      if (column === 0 || cells[at - 1] !== number) add(number, corner(column, line + 1), corner(column, line));
    }
  }
  return starts;
}

function* loops(starts, stride) {
  for (const first of starts.keys()) {
    while (starts.get(first)?.length) {
      const loop = [];
      let from = first;
      let step = 0;
      do {
        const ends = starts.get(from);
        // Where two cells touch at a corner only: turn right, around the same cell.
        const right = step === 1 ? stride : step === stride ? -1 : step === -1 ? -stride : 1;
        const turn = ends.length > 1 ? Math.max(0, ends.indexOf(from + right)) : 0;
        const [to] = ends.splice(turn, 1);
        step = to - from;
        loop.push([(from % stride) + (to % stride), Math.floor(from / stride) + Math.floor(to / stride)]);
        from = to;
      } while (from !== first);
      yield loop.map(([column, line]) => [column / 2, line / 2]);
    }
  }
}

/** Rounds the stairs of a grid: neighbours pull at each point. Both sides of a border agree. */
function soften(loop) {
  let points = loop;
  for (let pass = 0; pass < 3 && points.length > 8; pass++) {
    points = points.map(([x, y], at) => {
      const [px, py] = points[(at + points.length - 1) % points.length];
      const [nx, ny] = points[(at + 1) % points.length];
      return [(px + 2 * x + nx) / 4, (py + 2 * y + ny) / 4];
    });
  }
  return points;
}

/** How many cells each cell is from the nearest of another number (by steps to eight sides). */
function depths(cells, width, height) {
  const deep = new Uint16Array(cells.length);
  const look = (at, sides) => {
    let least = 65535;
    for (const side of sides) least = Math.min(least, cells[at + side] === cells[at] ? deep[at + side] + 1 : 1);
    return least;
  };
  const before = [-1, -width - 1, -width, -width + 1];
  const after = [1, width + 1, width, width - 1];
  for (let line = 1; line < height - 1; line++) {
    for (let column = 1; column < width - 1; column++) {
      const at = line * width + column;
      deep[at] = look(at, before);
    }
  }
  for (let line = height - 2; line > 0; line--) {
    for (let column = width - 2; column > 0; column--) {
      const at = line * width + column;
      deep[at] = Math.min(deep[at], look(at, after));
    }
  }
  return deep;
}
