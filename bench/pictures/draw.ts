/** A scene as a picture: time from left to right, and in rows what happened. SVG by hand, small, for light and dark pages. */
import type { Asked } from './clients.ts'
import type { Scene, Span } from './scenes.ts'

const width = 820
const left = 96
const right = 20
const row = 17

/** Colours that people with any eyes tell apart, on both grounds. */
const style = `
text{font:12px system-ui,sans-serif;fill:#24292f}
.ground,.on{fill:#fff}.faint{fill:#59636e}.title{font-weight:600;font-size:14px}
.line{stroke:#8b949e;stroke-width:1;fill:none}.dash{stroke-dasharray:3 3}
.a{stroke:#0969da}.b{stroke:#d97706}.none{stroke:#8b949e}.lost{stroke:#cf222e;stroke-width:2;fill:none}
.ask{stroke-width:4;stroke-linecap:round;fill:none}.bar{stroke-width:10;fill:none}.pale{opacity:.35}.step{stroke:#57606a}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.ground,.on{fill:#0d1117}.faint{fill:#9198a1}.a{stroke:#58a6ff}.b{stroke:#f0a030}.step{stroke:#8b949e}.lost{stroke:#ff7b72}}`

/** How a release is drawn at that time. */
const isPale = ({ text }: Span): boolean => text !== 'active'

/** The whole file. */
export function draw(scene: Scene): string {
  const toX = scaleOf(scene)
  const parts: string[] = []
  let y = 24
  const next = (height = row): number => {
    y += height
    return y
  }
  parts.push(`<text class="title" x="12" y="${y}">${escaped(scene.title)}</text>`)
  const top = next(14)
  for (const step of scene.steps) parts.push(...stepRow(step, toX, next()))
  if (scene.steps.length > 0) next(8)
  for (const [release, spans] of Object.entries(scene.releases))
    parts.push(...releaseRow(release, spans, toX, next(20)))
  next(8)
  for (const [index, asked] of scene.clients.entries()) parts.push(clientRow(index, asked, toX, next(13)))
  if (scene.waiting.length > 0) parts.push(...waitingRow(scene, toX, next(46)))
  const bottom = next(10)
  parts.push(axis(scene, toX, bottom))
  next(22)
  for (const [index, { at, event, text }] of scene.events.entries()) {
    const x = toX(at)
    parts.push(`<path class="line dash" d="M${x} ${top}V${bottom}"/>`)
    parts.push(`<text class="faint" x="${x}" y="${top}" text-anchor="middle">${letter(index)}</text>`)
    const since = `${Math.round(at - (scene.events[0]?.at ?? at))} ms`
    parts.push(`<text x="12" y="${next()}">${letter(index)} · ${since} · ${event}: ${escaped(text)}</text>`)
  }
  if (scene.receipt !== null) parts.push(`<text x="12" y="${next()}">${escaped(scene.receipt)}</text>`)
  const height = y + 14
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>${escaped(scene.title)}</title>`,
    `<style>${style}</style>`,
    `<rect class="ground" width="${width}" height="${height}"/>`,
    ...parts,
    '</svg>\n',
  ].join('\n')
}

type Scale = (at: number) => number

/** One digit behind the point: a tenth of what a screen shows. */
const scaleOf = ({ from, to }: Scene): Scale => {
  const within = (at: number) => Math.min(Math.max(at, from), to)
  return (at) => Number((left + ((within(at) - from) / (to - from)) * (width - left - right)).toFixed(1))
}

const letter = (index: number): string => String.fromCodePoint(65 + index)

const label = (text: string, y: number): string => `<text class="faint" x="12" y="${y + 4}">${escaped(text)}</text>`

function stepRow(step: Scene['steps'][number], toX: Scale, y: number): string[] {
  const [from, to] = [toX(step.from), toX(step.to)]
  return [
    label(step.step, y),
    `<path class="bar step" d="M${from} ${y}H${Math.max(to, from + 1.5)}"/>`,
    `<text x="${Math.max(to, from + 1.5) + 6}" y="${y + 4}">${escaped(step.text)}</text>`,
  ]
}

function releaseRow(release: string, spans: readonly Span[], toX: Scale, y: number): string[] {
  const bars = spans.map((span) => {
    const gone = span.text.startsWith('no process')
    const kind = gone ? 'none' : tone(release)
    return `<path class="bar ${kind}${isPale(span) ? ' pale' : ''}" d="M${toX(span.from)} ${y}H${toX(span.to)}"/>`
  })
  // A word for which there is no room is left out: the picture's text says what follows what.
  const words = spans.flatMap(({ from, to, text }) =>
    toX(to) - toX(from) > text.length * 6.5
      ? [
          `<text${isPale({ from, to, text }) ? '' : ' class="on"'} x="${((toX(from) + toX(to)) / 2).toFixed(1)}" y="${y + 4}" text-anchor="middle">${text}</text>`,
        ]
      : [],
  )
  return [label(release, y), ...bars, ...words]
}

const tone = (release: string): string => (release === 'v1' ? 'a' : 'b')

/** All that one release answered is one path: a line a request, which is a dot where it took no time. */
function clientRow(index: number, asked: readonly Asked[], toX: Scale, y: number): string {
  const lines = new Map<string, string>()
  let lost = ''
  for (const { from, to, by } of asked) {
    const [x, end] = [toX(from), toX(to)]
    const kind = by === null ? 'none' : tone(by)
    lines.set(kind, `${lines.get(kind) ?? ''}M${x} ${y}h${Math.max(end - x, 0.1).toFixed(1)}`)
    if (by === null) lost += `M${end - 4} ${y - 4}l8 8m0-8l-8 8`
  }
  const paths = [...lines].map(([kind, d]) => `<path class="ask ${kind}" d="${d}"/>`)
  if (lost !== '') paths.push(`<path class="lost" d="${lost}"/>`)
  return [label(`client ${index + 1}`, y), ...paths].join('')
}

/** A curve of steps, with its highest value. */
function waitingRow({ waiting }: Scene, toX: Scale, y: number): string[] {
  const most = Math.max(...waiting.map(({ count }) => count), 1)
  const changes = waiting.filter(({ count }, index) => count !== waiting[index - 1]?.count)
  const last = waiting.at(-1)
  const points = changes.map(({ at, count }) => `H${toX(at)}V${(y - (count / most) * 30).toFixed(1)}`)
  const end = last === undefined ? '' : `H${toX(last.at)}`
  return [label('waiting', y - 12), `<path class="line" d="M${left} ${y}${points.join('')}${end}"/>`, mostText()]

  function mostText(): string {
    const highest = waiting.find(({ count }) => count === most)
    return `<text x="${toX(highest?.at ?? 0) + 6}" y="${y - 18}">${most}</text>`
  }
}

/** A line with a mark for each 100 ms since the first event. */
function axis({ from, to, events }: Scene, toX: Scale, y: number): string {
  const zero = events[0]?.at ?? from
  const marks: string[] = []
  const every = to - from > 1500 ? 500 : 100
  for (let ms = Math.ceil((from - zero) / every) * every; zero + ms <= to; ms += every)
    marks.push(
      `<path class="line" d="M${toX(zero + ms)} ${y}v4"/><text class="faint" x="${toX(zero + ms)}" y="${y + 16}" text-anchor="middle">${ms} ms</text>`,
    )
  return [`<path class="line" d="M${left} ${y}H${width - right}"/>`, ...marks].join('\n')
}

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
