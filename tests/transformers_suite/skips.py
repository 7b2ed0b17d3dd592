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

TOKENIZER_SKIPS: dict[str, str] = {}
