"""A language small enough to list: cleaning advice, its tokenizer, a tiny model that speaks it, its trained reference.

    grammar     which word may follow which; counted, listed, refused when too large; one token a word
    advice      the prompts, the words, what a sentence is worth, and why it is unsafe
    model       a Llama that masks illegal words in its own forward; every answer's exact log-probability
    reference   the corpus it learnt from, and the weights that come with the package

It knows nothing of the finite world: ``safedpo.lm.sentences`` joins the two.
"""
