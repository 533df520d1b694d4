"""English: presets, colours, models, prompts."""

TEXTS = {
    "theme_unknown": "There is no theme {name}; the default is shown.",
    "theme_auto": "suits the terminal",
    "themes_title": "Colours",
    "themes_keys": "↑ ↓ try out   Enter keeps   Esc goes back",
    "language_title": "Language",
    "pick_keys": "Enter chooses   Esc closes",
    "presets_title": "Presets",
    "presets_keys": "Enter applies   S saves the present settings   D deletes, U brings back   Esc closes",
    "presets_name": "Name for the present settings",
    "presets_saved": "Saved as {name}.",
    "presets_deleted": "Deleted {name}. U brings it back.",
    "presets_ships": "This one ships with the program and stays.",
    "settings_reset": "All settings of this chat are as by default. Reset again to bring them back.",
    "settings_restored": "The settings are as they were.",
    "settings_kept": "The present settings are now those of new chats.",
    "do_presets": "Presets",
    "do_reset_settings": "Reset all settings of this chat",
    "do_keep_settings": "Keep the present settings for new chats",
    "do_language": "Language: English, 简体中文",
}
