"""The one exception type for mistakes that a user can make.

Its text is shown as it is, on the command line (exit code 2) and inside the chat: it says what is wrong,
where, and what to do about it, in one sentence. Anything else that reaches the user is a bug.
"""


class UserError(Exception):
    """Something the user can put right: a missing file, a flag out of range, too little memory."""
