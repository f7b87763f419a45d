"""A student's notebook becomes points: run in a fresh, limited kernel, judged on cases that the student never saw.

`notebook` reads the file and finds its exercises; `kernel` is the process that runs it, with limits on time, memory,
output, network and files; `judge` looks at each answer inside that process, on the exercise's own and on drawn cases;
`report` adds up points, for one notebook as JSON and for a class as a table.

The limits stop accidents and idle tricks. They are no wall against a determined attacker: grade notebooks of strangers on a
machine that holds nothing else.
"""
