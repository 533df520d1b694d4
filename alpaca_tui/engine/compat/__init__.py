"""llama.cpp's `main` as it was in April and in August 2023, to the byte on stdout.

Nothing here is used by the chat. `draws` and `samplers` choose tokens as the programs of those dates did,
`program` is their main loop; both stand on `Model.eval` and a tokenizer alone.
"""
