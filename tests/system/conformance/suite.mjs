// What Python asks of the suite, whose folder is the first argument:
//
//   node suite.mjs FOLDER describe                    its tests
//   node suite.mjs FOLDER run BASE CHUNK [ID ...]     the results of all tests, or of those named
//
// The last line of the output is the answer, as JSON. It runs the suite's own runner as its cli.mjs
// does, and can besides run several tests by name, and fewer of them at a time.

import { createRequire } from 'module'
import { join } from 'path'
import { pathToFileURL } from 'url'

const PATIENCE = 20000 // milliseconds for one request; an answer that never ends fails one test only

const [folder, what, base, chunk, ...ids] = process.argv.slice(2)
const load = path => import(pathToFileURL(join(folder, path)))

const suites = [...(await load('tests/index.mjs')).default, (await load('tests/surrogate-control.mjs')).default]

function describe () {
  return suites.flatMap(suite => suite.tests.map(test => ({
    id: test.id,
    name: test.name.trim(),
    suite: suite.name,
    kind: test.kind || 'required',
    depends_on: test.depends_on || [],
    browser_only: test.browser_only === true
  })))
}

async function run () {
  const { runTests, getResults } = await load('client/runner.mjs')
  const fetch = createRequire(join(folder, 'package.json'))('node-fetch')
  const patient = (url, init) => fetch(url, { ...init, timeout: PATIENCE })
  const chosen = suites.map(suite => ({
    ...suite,
    tests: suite.tests.filter(test => ids.length === 0 || ids.includes(test.id))
  }))
  await runTests(chosen, patient, false, base, Number(chunk))
  return getResults()
}

const answer = what === 'run' ? await run() : describe()
process.stdout.write(`\n${JSON.stringify(answer)}\n`, () => process.exit(0))
