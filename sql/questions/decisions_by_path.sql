-- How often is each path taken, and where does it lead? NONE is a decision too.
SELECT
    path,
    agent,
    COUNT(*) AS decided,
    CAST(100.0 * COUNT(*) / SUM(COUNT(*)) OVER () AS DECIMAL(5, 1)) AS share_percent
FROM decisions
GROUP BY path, agent
ORDER BY decided DESC, path ASC, agent ASC;
