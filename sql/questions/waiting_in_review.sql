-- What waits for a person? Parked messages that nobody decided on and whose conversation has not ended since.
SELECT
    reviews.deadline,
    reviews.conversation_id,
    reviews.message_id,
    reviews.message_type,
    reviews.reason,
    reviews.candidates
FROM reviews
LEFT JOIN decisions
    ON
        reviews.message_id = decisions.message_id
        AND decisions.path = 'human'
LEFT JOIN outcomes
    ON
        reviews.conversation_id = outcomes.conversation_id
        AND reviews.opened_at <= outcomes.ended_at
WHERE
    decisions.message_id IS NULL
    AND outcomes.conversation_id IS NULL
    AND reviews.deadline > CURRENT_TIMESTAMP
ORDER BY reviews.deadline;
