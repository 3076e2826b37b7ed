"""What is too long for every run of the tests, and what one lucky run would not show.

bad_calls         drawn wrong calls: every one is refused, in words, with one class on all backends
kill_during_save  a process killed at random moments of its saves: the file is the old one or the new one
false_alarms      drawn right calls of any size, judged by the oracle: none may fail
policies          every policy, drawn cases on both sides of its threshold and its edges, judged by the oracle
"""
