"""简体中文：提示库与提示原文。"""

TEXTS = {
    "prompts_title": "指令：对话开始前告诉模型的话",
    "prompts_format": "各轮对话的格式：",
    "prompts_own": "自己的",
    "prompts_name": "提示的名称",
    "prompts_keys": (
        "Enter 用于本对话   E 编辑，Ctrl+G 用外部编辑器   Ctrl+S 保存   N 新建   D 删除，U"
        " 恢复   F 格式   V 查看模型看到的原文   K 用于新对话   Esc 关闭"
    ),
    "prompts_saved": "已保存：{path}",
    "prompts_new": "在这里写；Ctrl+S 起名保存。",
    "prompts_deleted": "已删除 {name}，按 U 恢复。",
    "prompts_kept": "以后的新对话使用 {name}。",
    "prompts_save_first": "请先按 Ctrl+S 起名保存。",
    "prompt_edited": "已修改",
    "raw_title": "模型看到的提示原文",
    "raw_reading": "正在读取……",
    "raw_instruction": "指令",
    "raw_turn": "第 {n} 轮",
    "raw_counts": "共 {total} 个词元（上下文 {n_ctx}）：指令 {prefix}，各轮 {turns}。相间的底色区分词元。",
    "raw_last": "只显示最后 {n} 个。",
    "raw_keys": "I 显示编号   ↑ ↓ 滚动   Esc 关闭",
    "do_prompts": "指令与提示库",
    "do_raw_prompt": "模型看到的提示原文",
}
