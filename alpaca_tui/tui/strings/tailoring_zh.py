"""简体中文：预设、颜色、模型、提示。"""

TEXTS = {
    "theme_unknown": "没有名为 {name} 的配色，改用默认配色。",
    "theme_auto": "随终端而定",
    "themes_title": "颜色主题",
    "themes_keys": "↑ ↓ 预览   Enter 确定   Esc 还原",
    "language_title": "界面语言",
    "pick_keys": "Enter 选择   Esc 关闭",
    "presets_title": "预设",
    "presets_keys": "Enter 应用   S 保存当前参数   D 删除，U 恢复   Esc 关闭",
    "presets_name": "给当前参数起个名字",
    "presets_saved": "已保存为 {name}。",
    "presets_deleted": "已删除 {name}，按 U 恢复。",
    "presets_ships": "这是自带的预设，不能删除。",
    "settings_reset": "本对话的参数已全部恢复默认。再次执行可撤销。",
    "settings_restored": "参数已还原。",
    "settings_kept": "当前参数已成为新对话的默认值。",
    "do_presets": "预设",
    "do_reset_settings": "本对话的参数全部恢复默认",
    "do_keep_settings": "把当前参数用于以后的新对话",
    "do_language": "界面语言：简体中文、English",
}
