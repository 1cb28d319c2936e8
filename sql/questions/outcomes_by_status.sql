-- How do conversations end, after how many steps, how long after they began?
SELECT
    status,
    COALESCE(last_agent, '') AS last_agent,
    COUNT(*) AS episodes,
    CAST(AVG(CAST(hops AS DOUBLE)) AS DECIMAL(6, 1)) AS mean_hops,
    SUM(tokens) AS tokens,
    AVG(TIMESTAMPDIFF(SECOND, started_at, ended_at)) AS mean_seconds
FROM outcomes
GROUP BY status, last_agent
ORDER BY episodes DESC, status ASC, last_agent ASC;
