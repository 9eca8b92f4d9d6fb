"""Go or no-go before the day: each check on its own, each with a sentence that says what to do."""
