"""English: the prompt library and the view of the raw prompt."""

TEXTS = {
    "prompts_title": "Instruction: what the model is told before the conversation",
    "prompts_format": "Format of the turns:",
    "prompts_own": "yours",
    "prompts_name": "Name of the prompt",
    "prompts_keys": (
        "Enter uses it in this chat   E edits, Ctrl+G in your editor   Ctrl+S saves   N new   D "
        "deletes, U brings back   F format   V as the model sees it   K for new chats   Esc "
        "closes"
    ),
    "prompts_saved": "Saved: {path}",
    "prompts_new": "Write it here; Ctrl+S saves it under a name.",
    "prompts_deleted": "Deleted {name}. U brings it back.",
    "prompts_kept": "New chats begin with {name}.",
    "prompts_save_first": "Save it under a name first: Ctrl+S.",
    "prompt_edited": "edited",
    "raw_title": "The prompt as the model sees it",
    "raw_reading": "Reading …",
    "raw_instruction": "Instruction",
    "raw_turn": "Turn {n}",
    "raw_counts": (
        "{total} tokens of {n_ctx}: {prefix} of the instruction, {turns} of the turns. Each "
        "other token has a darker ground."
    ),
    "raw_last": "The last {n} are shown.",
    "raw_keys": "I numbers   ↑ ↓ scroll   Esc closes",
    "do_prompts": "Instruction and prompt library",
    "do_raw_prompt": "The prompt as the model sees it",
}
