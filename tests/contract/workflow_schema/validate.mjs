// Says, as one JSON object, what GitHub's own parser has against workflow files: file -> messages.
import fs from 'node:fs'
import { NoOperationTraceWriter, convertWorkflowTemplate, parseWorkflow } from '@actions/workflow-parser'

async function problems(file) {
  const parsed = parseWorkflow({ name: file, content: fs.readFileSync(file, 'utf8') }, new NoOperationTraceWriter())
  if (parsed.value && parsed.context.errors.getErrors().length === 0) {
    // Finds what the schema cannot: jobs that need each other, or one that is not there.
    await convertWorkflowTemplate(parsed.context, parsed.value)
  }
  return parsed.context.errors.getErrors().map((error) => error.message)
}

async function main(files) {
  const found = {}
  for (const file of files) {
    found[file] = await problems(file)
  }
  console.log(JSON.stringify(found))
}

main(process.argv.slice(2))
