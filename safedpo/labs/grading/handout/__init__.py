"""What students get: notebooks with stubs, and a wheel that checks answers without showing them.

`seal` turns the checkers into one file that is not read by opening it; `opened` is the code that loads it, and stands in the
place of `safedpo.labs.checks` in the students' wheel; `wheel` makes that wheel of the whole one; `folder` writes the handout.

The seal keeps answers out of sight. It is no cryptography: who takes the kit apart finds the checkers' computations. So the
grader gives no point to an answer that calls them (`safedpo.labs.grading.watch`).
"""
