"""Filters of a subscription: from what stands in a definition to something that says yes or no of a message.

`specs` is what a person writes, `where` its text form, `compiled` what is asked, `view` what it is asked of.
"""
