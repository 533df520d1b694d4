"""English: making a model from downloads."""

TEXTS = {
    "do_setup": "make a model from downloads",
    "open_setup": "makes one from downloaded weights: LLaMA, LoRAs",
    "welcome_setup": "Make one from downloaded weights",
    "setup_title": "Make a model from downloaded weights",
    "setup_label": "The folder with what you downloaded: base model, LoRAs, tokenizer.model",
    "setup_placeholder": "~/llama/",
    "setup_keys_folder": "Enter looks into it   Tab completes   Esc closes",
    "setup_keys_choose": "↑ ↓ and Enter choose   Tab folder   Esc closes",
    "setup_keys_done": "↑ ↓ and Enter choose   Esc closes",
    "setup_keys_running": "Esc: back to the chat, while this goes on",
    "setup_empty": "Name a folder.",
    "setup_no_folder": "There is no folder {path}.",
    "setup_looking": "Looking into {path} …",
    "setup_type": "type",
    "setup_file": "file",
    "setup_memory": "chat needs",
    "setup_free_memory": "{size} of memory are free",
    "setup_too_much": "more than is free",
    "setup_writes": "Writes {size}.",
    "setup_free_disk": "{size} are free on the disk.",
    "setup_there": "{name} is there already: show what can be done with it",
    "setup_start": "Start",
    "setup_start_anyway": "Start without that",
    "setup_go_on": "Go on from there",
    "setup_again": "Look again",
    "setup_made": "Open {name}, which was made here before",
    "setup_step_verify_downloads": "verify the downloads",
    "setup_step_merge": "merge and convert to {kind}",
    "setup_step_convert": "convert to {kind}",
    "setup_step_verify_weights": "verify the weights",
    "setup_step_quantise": "quantise to {kind}",
    "setup_back": "Back to the chat, while this goes on",
    "setup_cancel": "Cancel; what is done stays",
    "setup_stopping": "Stopping; the file that was begun is taken away …",
    "setup_cancelled": "Cancelled. What is done stays.",
    "setup_ready": "{name} is ready.",
    "setup_look": "shows it",
    "setup_open": "Open {name} in the chat",
    "setup_leftovers": "The chat needs {name} only. Enter marks what to delete:",
    "setup_left_f16": "the model in f16",
    "setup_left_model": "the downloaded {name}",
    "setup_left_lora": "the LoRA {name}",
    "setup_delete": "Delete what is marked, {size}, for good",
    "setup_deleted": "Deleted; {size} are free again.",
    "setup_close": "Leave it at that",
    "setup_find_published": "{n} as published: {names}",
    "setup_find_unlisted": "{n} in no list of published files: {names}",
    "setup_find_weights_published": "The weights are those published as {model}.",
    "setup_find_weights_other": (
        "The weights are not those published as {models}: another base, another LoRA, or another order."
    ),
    "setup_find_odd": "{name} has values that are no numbers: the model will not work well.",
    "setup_find_unfinished": "{path} is an unfinished download; let it finish, or download it again.",
    "setup_find_packed": "{path} holds a LoRA; unpack it into {target}.",
    "setup_find_no_lora_tokenizer": (
        "{path} is missing: the LoRA there has {n} tokens; copy it from where the LoRA came from."
    ),
    "setup_find_no_base": (
        "Beside the LoRA the original LLaMA is needed (consolidated.00.pth with params.json, or its Hugging "
        "Face folder); put it into a folder inside {folder}."
    ),
    "setup_find_no_model": (
        "{folder} holds no model; put the original LLaMA (consolidated.00.pth with params.json, or its "
        "Hugging Face folder) and your LoRA into folders inside it."
    ),
    "setup_find_merged_only": (
        "The model in {folder} has {n} tokens; LoRAs are merged into the original LLaMA, which is missing."
    ),
    "setup_find_no_plus": (
        "{name} builds on the LoRA Chinese-LLaMA-Plus of the same size, which is missing; put it into a "
        "folder inside {folder}."
    ),
    "setup_find_no_tokenizer": "tokenizer.model is missing; put it into {folder}.",
}
