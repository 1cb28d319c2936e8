"""The command line: thin commands over the same parts that the job and the agents use.

Exit codes: 0 success, 1 the answer is no, 2 misuse. Results go to stdout, everything said about them to stderr.
"""
