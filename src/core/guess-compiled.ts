/** How a server is started that is compiled first, here or elsewhere: Go and Java, and a program of any language. */
import { inTurn } from './guess-command.ts'
import { type Folder, guessed, type Start } from './guess-folder.ts'
import { portOf } from './guess-port.ts'

export const goMains = ['main.go', 'server.go', 'app.go']

export function guessGo(folder: Folder): Start | null {
  if (!folder.names.has('go.mod')) return null
  const mains = Object.keys(folder.texts).filter((name) => /^package main$/m.test(folder.texts[name] ?? ''))
  // `cmd/NAME` is where a module with several programs has them; only one of them can be meant without being asked.
  const commands = [...folder.names].filter((name) => /^cmd\/[^/.]+$/.test(name)).sort()
  const path = mains.some((name) => !name.includes('/')) ? '.' : commands.length === 1 ? `./${commands[0]}` : null
  if (path === null) return null
  return {
    what: 'a Go server',
    run: guessed(['./bin/server'], 'what build makes'),
    port: portOf(folder, { command: null, files: mains, usual: 8080, of: 'Go' }),
    build: guessed(['go', 'build', '-o', 'bin/server', path], path === '.' ? (mains[0] ?? 'go.mod') : `${commands[0]}`),
  }
}

const springProperties = 'src/main/resources/application.properties'
export const javaFiles = ['pom.xml', springProperties]

export function guessMaven(folder: Folder): Start | null {
  const pom = folder.texts['pom.xml']
  if (pom === undefined) return null
  const jar = jarOf(pom)
  if (jar === null) return null
  const maven = folder.names.has('mvnw') ? './mvnw' : 'mvn'
  const said = /^server\.port\s*=\s*(?:\$\{\w+:)?(\d{2,5})/m.exec(folder.texts[springProperties] ?? '')
  return {
    what: /spring-boot/.test(pom) ? 'a Spring Boot app' : 'a Java server',
    run: guessed(['java', '-jar', `target/${jar}`], 'pom.xml: artifactId and version'),
    port: said
      ? guessed(Number(said[1]), `${springProperties}: ${said[0]}`)
      : portOf(folder, { command: null, files: [], usual: 8080, of: 'Java' }),
    build: guessed(inTurn(`${maven} --batch-mode --quiet package -DskipTests`), 'pom.xml'),
    health: /spring-boot-starter-actuator/.test(pom)
      ? guessed('/actuator/health', 'pom.xml: spring-boot-starter-actuator')
      : null,
  }
}

/** A folder with one jar and nothing that says more. */
export function guessJar(folder: Folder): Start | null {
  const [jar, ...others] = [...folder.names].filter((name) => /^[^/]+\.jar$/.test(name))
  if (jar === undefined || others.length > 0) return null
  return {
    what: 'a jar',
    run: guessed(['java', '-jar', jar], jar),
    port: portOf(folder, { command: null, files: [], usual: 8080, of: 'Java' }),
  }
}

/** A folder with one compiled program and nothing that says more. */
export function guessProgram(folder: Folder): Start | null {
  const [program, ...others] = folder.programs ?? []
  if (program === undefined || others.length > 0) return null
  return {
    what: 'a compiled program',
    run: guessed([`./${program}`], `${program}, the only program here`),
    port: portOf(folder, { command: null, files: [], usual: 8080, of: 'a server' }),
  }
}

/** The file that `mvn package` makes; null where the project's own words do not say it. */
function jarOf(pom: string): string | null {
  // What a project inherits and uses has the same names for its parts.
  const own = pom.replace(/<(dependencies|dependencyManagement|profiles|plugins)>[\s\S]*?<\/\1>/g, '')
  const parent = /<parent>[\s\S]*?<\/parent>/.exec(own)?.[0] ?? ''
  const project = own.replace(parent, '')
  const packaging = textOf(project, 'packaging') ?? 'jar'
  const final = textOf(project, 'finalName')
  const artifact = textOf(project, 'artifactId')
  const version = textOf(project, 'version') ?? textOf(parent, 'version')
  const name = final ?? (artifact && version ? `${artifact}-${version}` : null)
  return packaging !== 'pom' && name !== null && /^[\w.-]+$/.test(name) ? `${name}.${packaging}` : null
}

const textOf = (xml: string, tag: string): string | null =>
  new RegExp(`<${tag}>([^<]*)</${tag}>`).exec(xml)?.[1]?.trim() || null
