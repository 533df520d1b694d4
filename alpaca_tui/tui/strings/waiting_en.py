"""English: numbers and log, the first start, help, terminals."""

TEXTS = {
    "do_editor": "write in an editor ($EDITOR)",
    "do_activity": "speed, context and memory; the log",
    "do_log": "what the program wrote in its log",
    "do_first_run": "the page of the first start",
    # numbers and log
    "activity_numbers": "Numbers",
    "activity_log": "Log",
    "activity_keys": "Tab the other page   ↑ ↓ scroll   Esc closes",
    "activity_log_empty": "The log is empty.",
    "activity_empty": "Numbers come with the first reply.",
    "plot_reply": "Speed in this reply, tokens/s",
    "plot_speeds": "Speed over the replies of this chat, tokens/s",
    "plot_context": "Context used by the replies of this chat, tokens",
    "stat_speed": "speed",
    "stat_generated": "tokens",
    "stat_first": "to the first token",
    "stat_prompt": "tokens of the prompt",
    "stat_reused": "({count} were known already)",
    "stat_prompt_speed": "reading the prompt",
    "stat_context": "context",
    "stat_seed": "seed",
    "stat_drafted": "taken from the context",
    "stat_memory": "memory of the program",
    "stat_model_memory": "of it, for the model",
    "stat_free_memory": "free memory",
    "stat_threads": "threads",
    "stat_replies": "replies in this chat",
    # a reply ended
    "notify_title": "alpaca-tui: the reply is there",
    "copied_inside": " This terminal lets it be pasted in this program only.",
    # the first start
    "first_title": "Welcome",
    "first_what": "A chat with a LLaMA or Alpaca model. It runs on this computer; nothing is sent anywhere.",
    "first_send": "sends your message; Ctrl+J begins a new line",
    "first_send_newline": "begins a new line; Ctrl+J sends your message",
    "first_stop": "stops a reply; what is there stays",
    "first_model": "opens another model, or makes one from downloads",
    "first_chats": "all your chats: they are saved as they grow",
    "first_read": "goes to the messages: copy, edit, branch, delete",
    "first_commands": "at the beginning of the prompt: all commands",
    "first_help": "explains what you are using",
    "first_language": "Language",
    "first_language_now": "English",
    "first_enter": "Enter",
    "first_enter_sends": "sends",
    "first_enter_newline": "begins a new line (Ctrl+J sends): good with an input method",
    "first_end": "Enter or Esc begins. You can also just type. /tour brings this page back.",
    # help
    "help_topic": "What you are using",
    "help_more": "More",
    "help_commands": "Each action is a command too; a list opens as you type /.",
    "topic_prompt": (
        "The prompt. What you type stays until it is sent, also over a restart. While a reply comes, Enter "
        "puts the next message in line. / at the beginning begins a command; // a message with a slash."
    ),
    "topic_read": (
        "The messages. Keys act on the marked one, without Ctrl. Any other letter goes on in the prompt. "
        "With the mouse: click the bar of a message; drag to select, Ctrl+C copies."
    ),
    "topic_find": (
        "Search in this chat, upper or lower case. Enter and Down go to the next match, Up to the one before."
    ),
    "topic_setting": "Left and Right change it, Enter types a value, Del brings back the default.",
    "topic_sidebar": "The settings of this chat. Up and Down choose, Enter opens, Esc goes back.",
    "topic_chats": "All chats. Type to filter by title and contents; the keys are at the foot of the list.",
    "topic_open": "Models found on this computer. Choose one, or type a path; Tab completes it.",
    "topic_setup": "Makes a model from downloads: it looks what is there, and does step after step.",
    "topic_presets": "Settings under a name. Enter puts them in force; S saves the present ones.",
    "topic_pick": "Choose with Up and Down; Enter keeps, Esc leaves it as it was.",
    "topic_prompts": "What the model is told before the conversation, and the format of the turns.",
    "topic_raw": "The text exactly as the model gets it, with the borders of its tokens.",
    "topic_activity": "How fast replies came and how full the context got; on the other page, the log.",
    "topic_ask": "One line to fill in. Enter does it, Esc leaves everything as it was.",
    "topic_first": "The page of the first start.",
    "terminal_keeps": "{name} may keep these keys for itself; the commands do the same: {keys}.",
    "terminal_fn": "Function keys may need Fn held down on this keyboard.",
    "terminal_select": "With {held} held down, the mouse selects in the terminal's own way.",
    "terminal_copy": "{name} takes no text from programs for the clipboard; other ways are tried.",
}
