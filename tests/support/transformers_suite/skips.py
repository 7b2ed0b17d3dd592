"""Upstream tests that are left out, with the reason and an upstream model that leaves it out too.

No test is left out for a fault of ours.
"""

_ONE_ENCODER = (
    "reads the output of one encoder, a stack has several: "
    "test_hidden_states_and_attentions_of_each_encoder does the same for each; CLIPModelTest "
    "leaves it out for this reason"
)
# By the beginning of the test's name.
SKIPS: dict[str, str] = {
    "test_hidden_states_output": _ONE_ENCODER,
    "test_attention_outputs": _ONE_ENCODER,
    "test_can_capture_specific_layers_hidden_states": _ONE_ENCODER,
    "test_retain_grad_hidden_states_attentions": _ONE_ENCODER.replace(
        "test_hidden_states_and_attentions", "test_gradients_reach_the_hidden_states"
    ),
    "test_eager_matches_sdpa_inference": (
        "makes inputs of its own out of the main input and the mask, and leaves out word_index; "
        "tests/model has the comparison; CLIPModelTest has a version of its own, too"
    ),
}
# The same, for one stack only.
SKIPS_OF_STACK: dict[str, dict[str, str]] = {
    "others": {
        "test_training_gradient_checkpointing_use_reentrant_true": (
            "DebertaV2ForSequenceClassification alone fails it too, with norm_rel_ebd='layer_norm' "
            "as DeBERTa-v3 has it; DebertaV2ModelTest does not set this field"
        ),
    },
}
# Checks of `ConfigTester`.
CONFIG_SKIPS: dict[str, str] = {
    "create_and_test_config_from_and_save_pretrained_composite": (
        "loads a sub-config by its class from the top level of config.json; here any number of "
        "them, of one class too, stand under `encoders`; RagConfig and EncoderDecoderConfig, whose "
        "sub-configs have no class of their own either, are not run through it"
    ),
}

_PAIRS = (
    "encodes a pair of texts, and an emotion belongs to one text; TapexTokenizationTest and "
    "FastSpeech2ConformerTokenizerTest leave pairs out too"
)
_ROWS = (
    "expects one number per token, and here a token is a row of one number per encoder; "
    "LayoutXLMTokenizationTest replaces it for its own format, tests/model has ours"
)
_VOCABULARIES = (
    "adds or renames tokens, and each encoder has a vocabulary of its own: this is refused with a "
    "sentence that names what to do instead; FastSpeech2ConformerTokenizerTest leaves adding out, "
    "and RagTokenizerTest, whose tokenizer holds two vocabularies, runs none of these tests"
)
_RIGHT_ONLY = (
    "pads or cuts on the left, and words count from the start of the text: refused with a "
    "sentence; no upstream tokenizer numbers words, LayoutXLMTokenizationTest replaces these tests"
)
_WORD_INDEX = (
    "asks for a mask that word_index already is: refused with a sentence that says so; "
    "no upstream tokenizer numbers words, FastSpeech2ConformerTokenizerTest leaves out what its "
    "format cannot say, too"
)
_CHAT = (
    "chats, and this is no tokenizer of a chat model; LayoutXLMTokenizationTest leaves it out too"
)
# By the test's name, as fnmatch reads it. Every test named here fails if it is run.
TOKENIZER_SKIPS: dict[str, str] = {
    "test_call": _PAIRS,
    "test_mask_output": _PAIRS,
    "test_maximum_encoding_length_pair_input": _PAIRS,
    "test_maximum_encoding_length_single_input": _ROWS,
    "test_number_of_added_tokens": _PAIRS,
    "test_prepare_seq2seq_batch": _PAIRS.replace("a pair of texts", "a target text"),
    "test_special_tokens_mask*": _WORD_INDEX,
    "test_encode_plus_with_padding*": _WORD_INDEX,
    "test_token_type_ids": _WORD_INDEX.replace("word_index already is", "is 0 for single texts"),
    "test_encode_basic_padding": _ROWS,
    "test_padding_with_attention_mask": _ROWS,
    "test_right_and_left_truncation": _RIGHT_ONLY,
    "test_batch_encode_plus_padding": _RIGHT_ONLY,
    "test_padding_side_in_kwargs": _RIGHT_ONLY,
    "test_truncation_side_in_kwargs": _RIGHT_ONLY,
    "test_batch_encode_dynamic_overflowing": _RIGHT_ONLY.replace(
        "pads or cuts on the left", "returns what truncation leaves out"
    ),
    "test_pretokenized_inputs": (
        "passes words instead of the raw text that each encoder reads: refused with a sentence; "
        "FastSpeech2ConformerTokenizerTest leaves it out too"
    ),
    "test_get_vocab": _VOCABULARIES,
    "test_bos_token_with_add_bos_token*": _VOCABULARIES,
    "test_save_and_load_tokenizer": _VOCABULARIES,
    "test_tokenize_special_tokens": _VOCABULARIES,
    "test_added_tokens_serialization": _VOCABULARIES,
    "test_tokenizers_common_ids_setters": _VOCABULARIES,
    "test_chat_template": _CHAT,
    "test_chat_template_batched": _CHAT,
    "test_chat_template_dict*": _CHAT,
    "test_chat_template_empty_conversation": _CHAT,
    "test_chat_template_file_priority": _CHAT,
    "test_chat_template_none_values": _CHAT,
    "test_continue_final_message*": _CHAT,
    "test_jinja*": _CHAT,
}
