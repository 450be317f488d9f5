// Runs cases of the suite by its own engine: `client.mjs SUITE BASE OUT OPTIONS`.
//
// OPTIONS is JSON: `only` are regular expressions of ids (none: all), `dump` prints each exchange,
// `at_once` is how many cases run side by side. OUT gets each case with its kind, what it depends
// on, its result (true, or the name and text of an error) and the suite's own verdict.
import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const [suite, base, out, options] = process.argv.slice(2)
const { only, dump, at_once: atOnce } = JSON.parse(options)
const part = name => import(pathToFileURL(path.join(suite, name)))
const { default: groups } = await part('tests/index.mjs')
const { runTests, getResults } = await part('test-engine/client/runner.mjs')
const { determineTestResult, resultTypes } = await part('test-engine/lib/results.mjs')

const wanted = test => only.length === 0 || only.some(id => new RegExp(`^(?:${id})$`).test(test.id))
const chosen = groups.map(group => {
  const tests = group.tests.filter(wanted).map(test => Object.assign(test, { dump }))
  return { ...group, tests }
})
await runTests(chosen, false, base, atOnce)

const results = getResults()
const names = new Map(Object.entries(resultTypes).map(([name, value]) => [value, name]))
const cases = chosen.flatMap(group => group.tests.filter(test => !test.browser_only).map(test => ({
  id: test.id,
  group: group.id,
  kind: test.kind ?? 'required',
  result: results[test.id],
  verdict: names.get(determineTestResult(groups, test.id, results, only.length === 0))
})))
fs.writeFileSync(out, JSON.stringify(cases, null, 1))
